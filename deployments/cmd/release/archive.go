package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pack writes everything in dir, in the order of names, to an archive that says nothing of who made it and when.
func (r *release) pack(dir, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	w := tar.NewWriter(z)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return r.add(w, path, filepath.ToSlash(name), entry.IsDir())
	})
	if err = errors.Join(err, w.Close(), z.Close()); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func (r *release) add(w *tar.Writer, path, name string, dir bool) error {
	head := &tar.Header{Name: name, ModTime: r.at, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if dir {
		head.Name, head.Mode, head.Typeflag = name+"/", 0o755, tar.TypeDir
		return w.WriteHeader(head)
	}
	if strings.Contains(name, "/bin/") {
		head.Mode = 0o755
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head.Size = info.Size()
	if err := w.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// sum writes the checksums of what was made, as sha256sum --check reads them.
func (r *release) sum(names []string) error {
	var text strings.Builder
	for _, name := range names {
		f, err := os.Open(filepath.Join(r.Out, name))
		if err != nil {
			return fmt.Errorf("checksum: %w", err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("checksum of %s: %w", name, err)
		}
		fmt.Fprintf(&text, "%x  %s\n", h.Sum(nil), name)
	}
	if err := os.WriteFile(filepath.Join(r.Out, "checksums.txt"), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	return nil
}
