package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/sync/errgroup"

	"github.com/conductor-dev/conductor/manifests"
)

// Folder reads every manifest below a folder on disk, as it is. What the root's
// git would ignore is left out; .git and symbolic links are never entered.
// Symbolic links named like manifests become findings.
func Folder(ctx context.Context, root string) (*manifests.Snapshot, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	if !info.IsDir() {
		return single(root)
	}
	files, err := readFolder(ctx, root, manifests.Parse)
	if err != nil {
		return nil, fmt.Errorf("read folder %s: %w", root, err)
	}
	return manifests.NewSnapshot(files), nil
}

// WorkTree reads what stands in the work tree below root, committed or not, and
// tells which manifests differ from the commit since.
func (m *Mirror) WorkTree(ctx context.Context, root string, since CommitSHA) (now *manifests.Snapshot, changed map[string]bool, err error) {
	was, err := m.blobs(since)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex // guards changed and was
	changed = map[string]bool{}
	files, err := readFolder(ctx, root, func(name string, data []byte) *manifests.File {
		hash := plumbing.ComputeHash(plumbing.BlobObject, data)
		mu.Lock()
		if was[name] != hash {
			changed[name] = true
		}
		delete(was, name)
		mu.Unlock()
		return m.cache.parse(blobKey{name, hash}, data)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read folder %s: %w", root, err)
	}
	for _, f := range files {
		delete(was, f.Path()) // refused ones weren't parsed, but they are there
	}
	for name := range was {
		changed[name] = true
	}
	return manifests.NewSnapshot(files), changed, nil
}

// blobs lists a commit's manifests with their object names.
func (m *Mirror) blobs(sha CommitSHA) (map[string]plumbing.Hash, error) {
	list := map[string]plumbing.Hash{}
	if sha == "" {
		return list, nil
	}
	c, err := m.commit(sha)
	if err != nil {
		return nil, err
	}
	tree, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("read tree of %s: %w", sha.Short(), err)
	}
	walker := object.NewTreeWalker(tree, true, nil)
	defer walker.Close()
	for {
		name, entry, err := walker.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read tree of %s: %w", sha.Short(), err)
		}
		if entry.Mode.IsFile() && manifests.Selects(name) {
			list[name] = entry.Hash
		}
	}
}

type parser func(name string, data []byte) *manifests.File

func readFolder(ctx context.Context, root string, parse parser) ([]*manifests.File, error) {
	paths, err := list(ctx, root)
	if err != nil {
		return nil, err
	}
	files := make([]*manifests.File, len(paths))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0)) // reading waits, parsing doesn't
	for i, p := range paths {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			files[i], err = readFile(root, p, parse)
			return err
		})
	}
	return files, group.Wait()
}

func single(path string) (*manifests.Snapshot, error) {
	name := filepath.Base(path)
	if !manifests.Selects(name) {
		return nil, fmt.Errorf("read %s: not a manifest: its name must end in .yaml or .yml", path)
	}
	file, err := readFile(filepath.Dir(path), found{name: name}, manifests.Parse)
	if err != nil {
		return nil, err
	}
	return manifests.NewSnapshot([]*manifests.File{file}), nil
}

type found struct {
	name    string // slash-separated, below the root
	symlink bool
}

func list(ctx context.Context, root string) ([]found, error) {
	patterns, err := gitignore.ReadPatterns(osfs.New(root, osfs.WithBoundOS()), nil)
	if err != nil {
		patterns = nil // an unreadable ignore file hides nothing
	}
	ignored := gitignore.NewMatcher(patterns)
	var paths []found
	err = filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, full)
		if err != nil || rel == "." {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == ".git" || len(patterns) > 0 && ignored.Match(strings.Split(name, "/"), true) {
				return filepath.SkipDir
			}
			return nil
		}
		link := d.Type()&fs.ModeSymlink != 0
		if !manifests.Selects(name) || !link && !d.Type().IsRegular() {
			return nil
		}
		if len(patterns) > 0 && ignored.Match(strings.Split(name, "/"), false) {
			return nil
		}
		paths = append(paths, found{name, link})
		return nil
	})
	return paths, err
}

func readFile(root string, f found, parse parser) (*manifests.File, error) {
	if f.symlink {
		return manifests.Refuse(f.name, "file/symlink", ""), nil
	}
	full := filepath.Join(root, filepath.FromSlash(f.name))
	info, err := os.Lstat(full)
	if errors.Is(err, fs.ErrPermission) {
		return manifests.Refuse(f.name, "file/unreadable", "permission denied"), nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > manifests.MaxFileBytes {
		return manifests.Refuse(f.name, "file/too-large", fmt.Sprintf("it has %d bytes", info.Size())), nil
	}
	data, err := os.ReadFile(full)
	if errors.Is(err, fs.ErrPermission) {
		return manifests.Refuse(f.name, "file/unreadable", "permission denied"), nil
	}
	if err != nil {
		return nil, err
	}
	return parse(f.name, data), nil
}
