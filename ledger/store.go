package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	lru "github.com/hashicorp/golang-lru/v2"
)

// rawObject is a Git object as it came from a repository, before its hash was
// checked.
type rawObject struct {
	kind plumbing.ObjectType
	data []byte
}

// source is where objects come from: a repository on this machine or a remote.
type source interface {
	// tip is the branch's commit, the zero hash if there is none yet.
	tip(ctx context.Context) (plumbing.Hash, error)
	// objects returns all the named objects, or an error. Objects larger than max
	// bytes are refused before they are read.
	objects(ctx context.Context, hashes []plumbing.Hash, max int) (map[plumbing.Hash]rawObject, error)
	// history returns the commits between have (excluded, may be zero) and tip, if
	// that is cheaper than to read them one by one; else nil.
	history(ctx context.Context, tip, have plumbing.Hash) (map[plumbing.Hash]rawObject, error)
	close() error
}

const (
	cachedTrees = 2048
	cachedBlobs = 256
	// maxCachedBlob keeps big evidence out of the cache.
	maxCachedBlob = 256 << 10
)

// store reads objects through a cache and checks what it reads: the kind, a
// bound on the size, and that the bytes have the hash they were asked for by.
// One goroutine at a time uses it, as go-git's storage demands.
type store struct {
	src   source
	trees *lru.Cache[plumbing.Hash, []treeEntry]
	blobs *lru.Cache[plumbing.Hash, []byte]
}

func newStore(src source) *store {
	trees, err := lru.New[plumbing.Hash, []treeEntry](cachedTrees)
	blobs, err2 := lru.New[plumbing.Hash, []byte](cachedBlobs)
	if err := errors.Join(err, err2); err != nil {
		panic(err) // only for a size below 1
	}
	return &store{src: src, trees: trees, blobs: blobs}
}

func (s *store) read(ctx context.Context, hash plumbing.Hash, kind plumbing.ObjectType, max int) ([]byte, error) {
	if hash.IsZero() {
		return nil, fmt.Errorf("read %s: %w", kind, plumbing.ErrObjectNotFound)
	}
	got, err := s.src.objects(ctx, []plumbing.Hash{hash}, max)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, hash, err)
	}
	return checkObject(got[hash], hash, kind, max)
}

func checkObject(o rawObject, hash plumbing.Hash, kind plumbing.ObjectType, max int) ([]byte, error) {
	switch {
	case o.kind != kind:
		return nil, fmt.Errorf("object %s is a %s, not a %s", hash, o.kind, kind)
	case len(o.data) > max:
		return nil, fmt.Errorf("%s %s has %d bytes; at most %d are allowed", kind, hash, len(o.data), max)
	case plumbing.ComputeHash(kind, o.data) != hash:
		return nil, fmt.Errorf("%s %s is corrupt: its bytes have another hash", kind, hash)
	}
	return o.data, nil
}

// blob returns a file's bytes.
func (s *store) blob(ctx context.Context, hash plumbing.Hash, max int) ([]byte, error) {
	if b, ok := s.blobs.Get(hash); ok && len(b) <= max {
		return b, nil
	}
	b, err := s.read(ctx, hash, plumbing.BlobObject, max)
	if err == nil {
		s.remember(plumbing.BlobObject, hash, b)
	}
	return b, err
}

// tree returns a folder's lines; callers must not change them.
func (s *store) tree(ctx context.Context, hash plumbing.Hash) ([]treeEntry, error) {
	if t, ok := s.trees.Get(hash); ok {
		return t, nil
	}
	b, err := s.read(ctx, hash, plumbing.TreeObject, maxTreeBytes)
	if err != nil {
		return nil, err
	}
	t, err := parseTree(b)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", hash, err)
	}
	s.trees.Add(hash, t)
	return t, nil
}

func (s *store) commit(ctx context.Context, hash plumbing.Hash) (*commit, error) {
	b, err := s.read(ctx, hash, plumbing.CommitObject, maxCommitBytes)
	if err != nil {
		return nil, err
	}
	return parseCommit(b)
}

// warm loads the folders and files on paths under a tree into the cache, level
// by level: one request for each level, however many paths there are. Paths that
// don't exist are passed over, and so are files over maxCachedBlob.
func (s *store) warm(ctx context.Context, root plumbing.Hash, paths []string) error {
	type want struct {
		hash plumbing.Hash
		rest string // "" at a file
	}
	level := []want{}
	for _, p := range paths {
		level = append(level, want{root, p})
	}
	for len(level) > 0 {
		kinds := map[plumbing.Hash]plumbing.ObjectType{}
		for _, w := range level {
			if w.rest != "" && !s.trees.Contains(w.hash) {
				kinds[w.hash] = plumbing.TreeObject
			} else if w.rest == "" && !s.blobs.Contains(w.hash) {
				kinds[w.hash] = plumbing.BlobObject
			}
		}
		if err := s.fill(ctx, kinds); err != nil {
			return err
		}
		var next []want
		for _, w := range level {
			if w.rest == "" {
				continue
			}
			lines, err := s.tree(ctx, w.hash)
			if err != nil {
				return err
			}
			name, rest, nested := strings.Cut(w.rest, "/")
			for _, l := range lines {
				if l.name == name && l.dir == nested {
					next = append(next, want{l.hash, rest})
				}
			}
		}
		level = next
	}
	return nil
}

// fill reads objects into the cache in one request.
func (s *store) fill(ctx context.Context, kinds map[plumbing.Hash]plumbing.ObjectType) error {
	if len(kinds) == 0 {
		return nil
	}
	hashes := make([]plumbing.Hash, 0, len(kinds))
	for h := range kinds {
		hashes = append(hashes, h)
	}
	got, err := s.src.objects(ctx, hashes, maxTreeBytes)
	if err != nil {
		return err
	}
	for h, kind := range kinds {
		b, err := checkObject(got[h], h, kind, maxTreeBytes)
		if err != nil {
			return err
		}
		s.remember(kind, h, b)
	}
	return nil
}

// remember keeps an object that was just written.
func (s *store) remember(kind plumbing.ObjectType, hash plumbing.Hash, data []byte) {
	switch kind {
	case plumbing.TreeObject:
		if t, err := parseTree(data); err == nil {
			s.trees.Add(hash, t)
		}
	case plumbing.BlobObject:
		if len(data) <= maxCachedBlob {
			s.blobs.Add(hash, data)
		}
	}
}

// opener opens another handle on the same repository, for parallel readers.
type opener interface {
	source
	reopen() (source, error)
}

// readAll reads an object with a bound that holds even if its header lies.
func readAll(o plumbing.EncodedObject, max int) ([]byte, error) {
	if o.Size() > int64(max) {
		return nil, fmt.Errorf("object has %d bytes; at most %d are allowed", o.Size(), max)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(max)+1))
	return b, errors.Join(err, r.Close())
}
