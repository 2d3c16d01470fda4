package files

import (
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sluice/shared/completion"
)

// The fields of an upload.
const (
	fieldFile    = "file"
	fieldPurpose = "purpose"
	fieldAnchor  = "expires_after[anchor]"
	fieldSeconds = "expires_after[seconds]"
)

// anchor is the only one there is.
const anchor = "created_at"

// maxValue is the longest value of a field besides the file, in bytes.
const maxValue = 64

// form is what the fields of an upload say, which come in any order.
type form struct {
	seen    []string
	purpose completion.Purpose
	age     time.Duration // 0: not said
}

// begin notes that a field has come.
func (f *form) begin(field string) error {
	if slices.Contains(f.seen, field) {
		return completion.Invalid(field, "The field %q came twice.", field)
	}
	f.seen = append(f.seen, field)
	return nil
}

// take reads a field besides the file.
func (f *form) take(field string, r io.Reader) error {
	if field != fieldPurpose && field != fieldAnchor && field != fieldSeconds {
		return completion.Invalid(cut(field, maxValue), "An upload has no field %q.", cut(field, maxValue))
	}
	if err := f.begin(field); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxValue+1))
	if err != nil {
		return err
	}
	value := string(text)
	if len(value) > maxValue {
		return completion.Invalid(field, "The value is longer than %d bytes.", maxValue)
	}
	switch field {
	case fieldPurpose:
		if f.purpose = completion.Purpose(value); !slices.Contains(completion.Uploads, f.purpose) {
			return completion.Invalid(field, "The purpose must be one of %s.", strings.Join(purposes(), ", "))
		}
	case fieldAnchor:
		if value != anchor {
			return completion.Invalid(field, "The anchor must be %s.", anchor)
		}
	case fieldSeconds:
		n, err := strconv.Atoi(value)
		if lowest, highest := seconds(completion.MinFileAge), seconds(completion.MaxFileAge); err != nil || n < lowest || n > highest {
			return completion.Invalid(field, "The seconds must be a whole number from %d to %d.", lowest, highest)
		}
		f.age = time.Duration(n) * time.Second
	}
	return nil
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func purposes() []string {
	var all []string
	for _, p := range completion.Uploads {
		all = append(all, string(p))
	}
	return all
}

// check finds what is missing, now that all fields have come, and what the file may not be for its purpose.
func (f *form) check(bytes int64) error {
	for _, field := range []string{fieldFile, fieldPurpose} {
		if !slices.Contains(f.seen, field) {
			return completion.Invalid(field, "The field %q is missing.", field)
		}
	}
	for field, other := range map[string]string{fieldAnchor: fieldSeconds, fieldSeconds: fieldAnchor} {
		if !slices.Contains(f.seen, field) && slices.Contains(f.seen, other) {
			return completion.Invalid(field, "The field %q is missing; it belongs to %q.", field, other)
		}
	}
	if most := f.purpose.MaxBytes(); bytes > most {
		return tooLarge(most)
	}
	if bytes == 0 && f.purpose == completion.PurposeBatch {
		return completion.Invalid(fieldFile, "The file is empty; a batch needs at least one line.")
	}
	return nil
}

// most is the largest file that may come, as far as that is known.
func (f *form) most() int64 { return f.purpose.MaxBytes() }

// expires is when a file that is created now goes by itself.
func (f *form) expires(now time.Time) time.Time {
	switch {
	case f.age > 0:
		return now.Add(f.age)
	case f.purpose == completion.PurposeBatch:
		return now.Add(completion.BatchFileAge)
	default:
		return time.Time{}
	}
}

// cleanName is a file's name without the folders that some clients put before it, and without what would be unsafe in a
// header, on a terminal or in a database. It is never empty.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) { // Cf: some turn the direction of writing
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	name = cut(path.Base(strings.ReplaceAll(name, `\`, "/")), completion.MaxFileName)
	if name == "." || name == ".." || name == "/" {
		return fieldFile
	}
	return name
}

// cut is s in at most limit bytes, none of them of a part of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
