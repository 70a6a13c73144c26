package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// maxTreeBytes bounds a tree object; the format keeps folders under 1,000
// entries, so real ones have some 40 KB.
const maxTreeBytes = 1 << 20

// treeEntry is one line of a Git tree: a regular file or a folder. Nothing else
// exists in a ledger; links, submodules and executables are refused.
type treeEntry struct {
	name string
	dir  bool
	hash plumbing.Hash
}

func (e treeEntry) sortKey() string {
	if e.dir {
		return e.name + "/"
	}
	return e.name
}

// treeReader reads the tree objects that a dir has not loaded yet.
type treeReader interface {
	tree(ctx context.Context, hash plumbing.Hash) ([]treeEntry, error)
}

// dir is a folder that can be edited without an index or a work tree: only the
// folders on an edited path are loaded, and only they are encoded again.
type dir struct {
	entries []treeEntry // in Git's order
	sub     map[string]*dir
	hash    plumbing.Hash
	loaded  bool
	dirty   bool
}

// newDir is an empty folder; dirAt one that is read when needed.
func newDir() *dir                  { return &dir{loaded: true, dirty: true} }
func dirAt(hash plumbing.Hash) *dir { return &dir{hash: hash} }
func (d *dir) find(key string) (int, bool) {
	return slices.BinarySearchFunc(d.entries, key, func(e treeEntry, k string) int {
		return strings.Compare(e.sortKey(), k)
	})
}

func (d *dir) load(ctx context.Context, r treeReader) error {
	if d.loaded {
		return nil
	}
	entries, err := r.tree(ctx, d.hash)
	if err != nil {
		return err
	}
	d.entries, d.loaded = slices.Clone(entries), true
	return nil
}

// child returns a subfolder, nil if there is none and make is false.
func (d *dir) child(ctx context.Context, r treeReader, name string, make bool) (*dir, error) {
	if err := d.load(ctx, r); err != nil {
		return nil, err
	}
	if s := d.sub[name]; s != nil {
		return s, nil
	}
	var s *dir
	if i, ok := d.find(name + "/"); ok {
		s = dirAt(d.entries[i].hash)
	} else if !make {
		return nil, nil
	} else if _, file := d.find(name); file {
		return nil, fmt.Errorf("%s is a file where a folder belongs", name)
	} else {
		s = newDir()
	}
	if d.sub == nil {
		d.sub = map[string]*dir{}
	}
	d.sub[name] = s
	return s, nil
}

// put sets the file at path to a blob.
func (d *dir) put(ctx context.Context, r treeReader, path string, blob plumbing.Hash) error {
	d.dirty = true
	name, rest, nested := strings.Cut(path, "/")
	if nested {
		s, err := d.child(ctx, r, name, true)
		if err != nil {
			return err
		}
		return s.put(ctx, r, rest, blob)
	}
	if err := d.load(ctx, r); err != nil {
		return err
	}
	i, ok := d.find(name)
	if !ok {
		d.entries = slices.Insert(d.entries, i, treeEntry{name: name})
	}
	d.entries[i].hash = blob
	return nil
}

// setDir makes a folder of d the given tree, or removes it for the zero hash.
func (d *dir) setDir(ctx context.Context, r treeReader, name string, tree plumbing.Hash) error {
	if err := d.load(ctx, r); err != nil {
		return err
	}
	d.dirty = true
	delete(d.sub, name)
	i, ok := d.find(name + "/")
	switch {
	case tree.IsZero() && ok:
		d.entries = slices.Delete(d.entries, i, i+1)
	case !tree.IsZero() && ok:
		d.entries[i].hash = tree
	case !tree.IsZero():
		d.entries = slices.Insert(d.entries, i, treeEntry{name: name, dir: true, hash: tree})
	}
	return nil
}

// removeDir drops the folder at path, which must exist.
func (d *dir) removeDir(ctx context.Context, r treeReader, path string) error {
	d.dirty = true
	name, rest, nested := strings.Cut(path, "/")
	if nested {
		s, err := d.child(ctx, r, name, false)
		if err != nil || s == nil {
			return errors.Join(err, fmt.Errorf("no folder %s", name))
		}
		return s.removeDir(ctx, r, rest)
	}
	if err := d.load(ctx, r); err != nil {
		return err
	}
	delete(d.sub, name)
	if i, ok := d.find(name + "/"); ok {
		d.entries = slices.Delete(d.entries, i, i+1)
	}
	return nil
}

// blobAt returns the blob at path; the zero hash if there is none.
func (d *dir) blobAt(ctx context.Context, r treeReader, path string) (plumbing.Hash, error) {
	name, rest, nested := strings.Cut(path, "/")
	if nested {
		s, err := d.child(ctx, r, name, false)
		if err != nil || s == nil {
			return plumbing.ZeroHash, err
		}
		return s.blobAt(ctx, r, rest)
	}
	if err := d.load(ctx, r); err != nil {
		return plumbing.ZeroHash, err
	}
	if i, ok := d.find(name); ok {
		return d.entries[i].hash, nil
	}
	return plumbing.ZeroHash, nil
}

// encode gives the folder's hash and hands each changed tree object to emit.
func (d *dir) encode(emit func(plumbing.ObjectType, []byte) plumbing.Hash) plumbing.Hash {
	if !d.dirty {
		return d.hash
	}
	for name, s := range d.sub {
		if !s.dirty {
			continue
		}
		h := s.encode(emit)
		i, ok := d.find(name + "/")
		if !ok {
			d.entries = slices.Insert(d.entries, i, treeEntry{name: name, dir: true})
		}
		d.entries[i].hash = h
	}
	d.hash, d.dirty = emit(plumbing.TreeObject, encodeTree(d.entries)), false
	return d.hash
}

func encodeTree(entries []treeEntry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		mode := "100644 "
		if e.dir {
			mode = "40000 "
		}
		b.WriteString(mode)
		b.WriteString(e.name)
		b.WriteByte(0)
		b.Write(e.hash[:])
	}
	return b.Bytes()
}

// parseTree reads a tree object strictly: sorted, no doubles, regular files and
// folders only.
func parseTree(b []byte) ([]treeEntry, error) {
	var entries []treeEntry
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte{0})
		if !ok || len(rest) < 20 {
			return nil, errors.New("tree is cut short")
		}
		mode, name, ok := strings.Cut(string(head), " ")
		if !ok || name == "" || strings.Contains(name, "/") || name == "." || name == ".." || strings.EqualFold(name, ".git") {
			return nil, fmt.Errorf("tree has an entry named %q", clip(name, 80))
		}
		e := treeEntry{name: name, dir: mode == "40000", hash: plumbing.Hash(rest[:20])}
		if !e.dir && mode != "100644" {
			m, _ := filemode.New(mode)
			return nil, fmt.Errorf("%q is neither a regular file nor a folder (mode %s)", clip(name, 80), m)
		}
		if n := len(entries); n > 0 && entries[n-1].sortKey() >= e.sortKey() {
			return nil, errors.New("tree is not sorted")
		}
		entries, b = append(entries, e), rest[20:]
	}
	return entries, nil
}
