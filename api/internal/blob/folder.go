package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// folder keeps each blob in a file of its own. What is being written lies in a folder beside, under a name that no other
// Put uses; a blob's name has no dot, so that none is mistaken for it.
type folder struct{ root *os.Root }

// parts is the folder, in that of each tenant, of what is being written.
const parts = ".part"

// openFolder makes the folder if it is not there. It is only for who runs this program: it holds what tenants have uploaded.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for files (set SLUICE_FILES_DIR to use another): %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder for files: %w", err)
	}
	return &folder{root}, nil
}

func (f *folder) Put(ctx context.Context, name string, r io.Reader) (bytes int64, err error) {
	tenant, file, err := split(name)
	if err != nil {
		return 0, err
	}
	if err := f.root.MkdirAll(path.Join(tenant, parts), 0o700); err != nil {
		return 0, fmt.Errorf("make folder of %s: %w", tenant, err)
	}
	part := path.Join(tenant, parts, file+"."+rand.Text())
	if bytes, err = f.write(part, source{ctx, r}); err == nil {
		err = f.root.Rename(part, name)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write %s: %w", name, err), f.remove(part))
	}
	if err := f.sync(tenant); err != nil {
		return 0, errors.Join(fmt.Errorf("write %s: %w", name, err), f.remove(name))
	}
	return bytes, nil
}

// write makes the file and puts it on the disk.
func (f *folder) write(part string, r io.Reader) (bytes int64, err error) {
	w, err := f.root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if bytes, err = io.Copy(w, r); err != nil {
		return 0, err
	}
	return bytes, w.Sync()
}

// sync puts the names in a folder on the disk.
func (f *folder) sync(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *folder) remove(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (f *folder) Open(_ context.Context, name string) (Blob, error) {
	if _, _, err := split(name); err != nil {
		return nil, err
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), file.Close())
	}
	return &onDisk{file, info.Size()}, nil
}

func (f *folder) Delete(_ context.Context, name string) error {
	tenant, file, err := split(name)
	if err != nil {
		return err
	}
	list, err := f.unfinished(tenant)
	if err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	for _, part := range list { // first, or a Put could end in between
		if strings.HasPrefix(part, file+".") {
			err = errors.Join(err, f.remove(path.Join(tenant, parts, part)))
		}
	}
	return errors.Join(err, f.remove(name))
}

// unfinished lists what is being written, or was when it was interrupted.
func (f *folder) unfinished(tenant string) ([]string, error) {
	dir, err := f.root.Open(path.Join(tenant, parts))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := dir.Readdirnames(-1)
	return list, errors.Join(err, dir.Close())
}

// onDisk is a blob in a folder.
type onDisk struct {
	*os.File
	size int64
}

func (d *onDisk) Size() int64 { return d.size }
