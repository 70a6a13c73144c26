package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// localSource reads a repository's objects from disk.
type localSource struct {
	gitDir string
	st     *filesystem.Storage
}

// openLocal opens a bare repository or the .git folder of a clone. go-git checks
// the repository's format first, so that one it can't read is refused.
func openLocal(path string) (*localSource, error) {
	repo, err := git.PlainOpen(path)
	if err != nil {
		return nil, fmt.Errorf("open audit repository %s: %w", path, err)
	}
	st, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("open audit repository %s: not stored in files", path)
	}
	l := &localSource{gitDir: st.Filesystem().Root()}
	l.open()
	return l, nil
}

func (l *localSource) open() {
	l.st = filesystem.NewStorageWithOptions(osfs.New(l.gitDir), cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{})
}

func (l *localSource) reopen() (source, error) {
	again := &localSource{gitDir: l.gitDir}
	again.open()
	return again, nil
}

func (l *localSource) tip(context.Context) (plumbing.Hash, error) {
	ref, err := l.st.Reference(branchRef)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read %s: %w", branchRef, err)
	}
	return ref.Hash(), nil
}

func (l *localSource) objects(ctx context.Context, hashes []plumbing.Hash, max int) (map[plumbing.Hash]rawObject, error) {
	out := make(map[plumbing.Hash]rawObject, len(hashes))
	for _, h := range hashes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o, err := l.object(h, max)
		if err != nil {
			return nil, err
		}
		out[h] = o
	}
	return out, nil
}

// object reads one object. git may have repacked behind our back (go-git keeps
// the list of packs it saw), so a miss is tried once more on fresh storage.
func (l *localSource) object(h plumbing.Hash, max int) (rawObject, error) {
	o, err := l.st.EncodedObject(plumbing.AnyObject, h)
	if err != nil {
		l.open()
		if o, err = l.st.EncodedObject(plumbing.AnyObject, h); err != nil {
			return rawObject{}, err
		}
	}
	b, err := readAll(o, max)
	if err != nil {
		return rawObject{}, err
	}
	return rawObject{o.Type(), b}, nil
}

func (l *localSource) history(context.Context, plumbing.Hash, plumbing.Hash) (map[plumbing.Hash]rawObject, error) {
	return nil, nil
}

func (l *localSource) close() error { return nil }

// createBare makes an empty bare repository whose settings keep a ledger:
// history can only grow, every write reaches the disk before the branch moves,
// and readers may ask for single objects.
func createBare(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("create audit repository: %w", err)
	}
	repo, err := git.PlainInitWithOptions(path, &git.PlainInitOptions{
		Bare:        true,
		InitOptions: git.InitOptions{DefaultBranch: branchRef},
	})
	if err != nil {
		return fmt.Errorf("create audit repository %s: %w", path, err)
	}
	cfg, err := repo.Config()
	if err != nil {
		return fmt.Errorf("configure audit repository %s: %w", path, err)
	}
	for _, o := range []struct{ section, key, value string }{
		// git's default leaves loose objects and references to the page cache.
		{"core", "fsync", "all"},
		{"core", "fsyncMethod", "batch"},
		{"receive", "denyNonFastForwards", "true"},
		{"receive", "denyDeletes", "true"},
		{"receive", "fsckObjects", "true"},
		{"uploadpack", "allowFilter", "true"},
		{"uploadpack", "allowAnySHA1InWant", "true"},
	} {
		cfg.Raw.SetOption(o.section, "", o.key, o.value)
	}
	if err := repo.SetConfig(cfg); err != nil {
		return fmt.Errorf("configure audit repository %s: %w", path, err)
	}
	return nil
}

// staleLock is the branch's lock file, which a killed git leaves behind.
func (l *localSource) lockFile() string { return filepath.Join(l.gitDir, branchRef+".lock") }
