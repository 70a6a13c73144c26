package source

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"

	"github.com/conductor-dev/conductor/manifests"
)

const (
	// cachedFiles and cachedFolders bound the caches: about 10 KB a parsed
	// manifest makes some 500 MB at the very worst, and 50 repositories of 1,000
	// manifests in practice.
	cachedFiles   = 50_000
	cachedFolders = 20_000
	// maxTreeDepth bounds the folders below each other that are looked into; Git
	// itself has no limit, and a crafted repository may nest for ever.
	maxTreeDepth = 100
)

// parseCache keeps parsed files by what they hold and where they stand. It is
// safe for concurrent use.
type parseCache struct {
	files   *lru.Cache[blobKey, *manifests.File]
	folders *lru.Cache[blobKey, []*manifests.File]
}

// blobKey is a path with the object (blob or tree) that stands there: the parse
// depends on nothing else.
type blobKey struct {
	path string
	hash plumbing.Hash
}

func newParseCache() *parseCache {
	files, _ := lru.New[blobKey, *manifests.File](cachedFiles)
	folders, _ := lru.New[blobKey, []*manifests.File](cachedFolders)
	return &parseCache{files, folders}
}

func (c *parseCache) parse(key blobKey, data []byte) *manifests.File {
	if file, ok := c.files.Get(key); ok {
		return file
	}
	file := manifests.Parse(key.path, data)
	c.files.Add(key, file)
	return file
}

// Snapshot reads every manifest of a commit.
func (m *Mirror) Snapshot(ctx context.Context, sha CommitSHA) (*manifests.Snapshot, error) {
	files, err := m.files(ctx, sha)
	if err != nil {
		return nil, fmt.Errorf("read manifests at %s: %w", sha.Short(), err)
	}
	return manifests.NewSnapshot(files), nil
}

func (m *Mirror) files(ctx context.Context, sha CommitSHA) ([]*manifests.File, error) {
	if sha == "" {
		return nil, nil
	}
	c, err := m.commit(sha)
	if err != nil {
		return nil, err
	}
	r := &treeReader{mirror: m, group: new(errgroup.Group)}
	r.group.SetLimit(runtime.GOMAXPROCS(0))
	files, readErr := r.folder(ctx, "", c.TreeHash, 0)
	if err := r.group.Wait(); err != nil {
		return nil, err
	}
	if readErr != nil {
		return nil, readErr
	}
	r.remember()
	return files.flatten(nil), nil
}

// treeReader reads one commit's tree: objects one after the other, because
// go-git's storage wants that, and parses beside each other.
type treeReader struct {
	mirror *Mirror
	group  *errgroup.Group
	read   []*folder
}

// folder is a folder while it is being read. The files of its slots are parsed in
// the background and stand there once the group was waited for.
type folder struct {
	key   blobKey
	slots []*slot
}

type slot struct {
	file *manifests.File
	sub  *folder
	done []*manifests.File // a whole folder out of the cache
}

func (f *folder) flatten(into []*manifests.File) []*manifests.File {
	for _, s := range f.slots {
		switch {
		case s.file != nil:
			into = append(into, s.file)
		case s.sub != nil:
			into = s.sub.flatten(into)
		default:
			into = append(into, s.done...)
		}
	}
	return into
}

func (r *treeReader) remember() {
	for _, f := range r.read {
		r.mirror.cache.folders.Add(f.key, f.flatten(nil))
	}
}

func (r *treeReader) folder(ctx context.Context, at string, hash plumbing.Hash, depth int) (*folder, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := &folder{key: blobKey{at, hash}}
	if depth > maxTreeDepth {
		f.slots = []*slot{{file: manifests.Refuse(at, "file/bad-path", fmt.Sprintf("more than %d folders deep", maxTreeDepth))}}
		return f, nil
	}
	if files, ok := r.mirror.cache.folders.Get(f.key); ok {
		f.slots = []*slot{{done: files}}
		return f, nil
	}
	tree, err := object.GetTree(r.mirror.repo.Storer, hash)
	if err != nil {
		return nil, fmt.Errorf("read folder %q: %w", at, err)
	}
	f.slots = make([]*slot, 0, len(tree.Entries))
	for _, entry := range tree.Entries {
		name := at + prefixed(at, entry.Name)
		switch {
		case entry.Mode == filemode.Dir:
			sub, err := r.folder(ctx, name, entry.Hash, depth+1)
			if err != nil {
				return nil, err
			}
			f.slots = append(f.slots, &slot{sub: sub})
		case !manifests.Selects(name):
		case entry.Mode == filemode.Symlink:
			f.slots = append(f.slots, &slot{file: manifests.Refuse(name, "file/symlink", "")})
		case entry.Mode == filemode.Submodule:
			f.slots = append(f.slots, &slot{file: manifests.Refuse(name, "file/submodule", "")})
		default:
			if err := r.blob(f, name, entry.Hash); err != nil {
				return nil, err
			}
		}
	}
	r.read = append(r.read, f)
	return f, nil
}

// prefixed joins without cleaning: a crafted tree may hold entries named "..",
// and the path must reach the parser as it is to be refused there.
func prefixed(at, name string) string {
	if at == "" {
		return name
	}
	return "/" + name
}

func (r *treeReader) blob(into *folder, at string, hash plumbing.Hash) error {
	key := blobKey{at, hash}
	if file, ok := r.mirror.cache.files.Get(key); ok {
		into.slots = append(into.slots, &slot{file: file})
		return nil
	}
	blob, err := object.GetBlob(r.mirror.repo.Storer, hash)
	if err != nil {
		return fmt.Errorf("read %q: %w", at, err)
	}
	if blob.Size > manifests.MaxFileBytes {
		into.slots = append(into.slots, &slot{file: manifests.Refuse(at, "file/too-large", fmt.Sprintf("it has %d bytes", blob.Size))})
		return nil
	}
	data, err := readBlob(blob)
	if err != nil {
		return fmt.Errorf("read %q: %w", at, err)
	}
	s := new(slot)
	into.slots = append(into.slots, s)
	r.group.Go(func() error {
		s.file = r.mirror.cache.parse(key, data)
		return nil
	})
	return nil
}

func readBlob(blob *object.Blob) ([]byte, error) {
	reader, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(io.LimitReader(reader, manifests.MaxFileBytes+1))
}
