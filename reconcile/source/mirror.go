package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// CommitSHA is a full, lower-case SHA-1 object name: 40 hex digits.
type CommitSHA string

// Short is the first ten digits, for people.
func (c CommitSHA) Short() string { return string(c[:min(10, len(c))]) }

func (c CommitSHA) hash() plumbing.Hash { return plumbing.NewHash(string(c)) }

// Remote says where a repository is and how to get in. ID names the mirror and
// outlives renames.
type Remote struct {
	ID   string
	URL  string
	Auth transport.AuthMethod // nil: none needed
}

var mirrorID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// ErrGone is returned when a ref or commit isn't at the remote any more, e.g.
// after a force-push or a deleted branch.
var ErrGone = errors.New("not at the remote any more")

// Mirrors keeps one bare mirror per repository below a folder. Methods are safe
// for concurrent use; work on one repository is serialised, because go-git's
// object storage isn't safe for a fetch beside a read.
type Mirrors struct {
	dir   string
	cache *parseCache

	mu    sync.Mutex // guards locks
	locks map[string]*sync.Mutex
}

// NewMirrors keeps its mirrors below dir, which is created when needed.
func NewMirrors(dir string) *Mirrors {
	return &Mirrors{dir: dir, cache: newParseCache(), locks: map[string]*sync.Mutex{}}
}

// Open locks and opens the mirror of a repository. The caller must Close it.
func (m *Mirrors) Open(remote Remote) (*Mirror, error) {
	if !mirrorID.MatchString(remote.ID) {
		return nil, fmt.Errorf("open mirror: %q is not a repository id", remote.ID)
	}
	m.mu.Lock()
	lock := m.locks[remote.ID]
	if lock == nil {
		lock = new(sync.Mutex)
		m.locks[remote.ID] = lock
	}
	m.mu.Unlock()

	lock.Lock()
	repo, err := openBare(filepath.Join(m.dir, remote.ID+".git"))
	if err != nil {
		lock.Unlock()
		return nil, fmt.Errorf("open mirror of %s: %w", remote.URL, err)
	}
	return &Mirror{remote: remote, repo: repo, cache: m.cache, unlock: lock.Unlock}, nil
}

// Rename gives a mirror that nobody holds another id.
func (m *Mirrors) Rename(from, to string) error {
	if !mirrorID.MatchString(to) {
		return fmt.Errorf("rename mirror: %q is not a repository id", to)
	}
	if err := os.Rename(filepath.Join(m.dir, from+".git"), filepath.Join(m.dir, to+".git")); err != nil {
		return fmt.Errorf("rename mirror: %w", err)
	}
	return nil
}

// OpenLocal opens a repository on this machine in place, bare or with a work
// tree, without a mirror: for commands that look at the repository they stand in.
func OpenLocal(path string) (*Mirror, error) {
	repo, err := git.PlainOpenWithOptions(path, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return nil, fmt.Errorf("open git repository at %s: %w", path, err)
	}
	return &Mirror{remote: Remote{URL: path}, repo: repo, cache: newParseCache(), unlock: func() {}}, nil
}

func openBare(dir string) (*git.Repository, error) {
	repo, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return nil, err
		}
		return git.PlainInit(dir, true)
	}
	return repo, err
}

// Mirror is one repository, locked for its holder until Close.
type Mirror struct {
	remote Remote
	repo   *git.Repository
	cache  *parseCache
	unlock func()
}

// Close lets the next holder in.
func (m *Mirror) Close() { m.unlock() }

// Refs asks the remote for its refs: names such as refs/heads/main to commits. It
// transfers no objects.
func (m *Mirror) Refs(ctx context.Context) (map[string]CommitSHA, error) {
	remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{m.remote.URL}})
	list, err := remote.ListContext(ctx, &git.ListOptions{Auth: m.remote.Auth})
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return map[string]CommitSHA{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list refs of %s: %w", m.remote.URL, err)
	}
	refs := make(map[string]CommitSHA, len(list))
	for _, r := range list {
		if r.Type() == plumbing.HashReference {
			refs[r.Name().String()] = CommitSHA(r.Hash().String())
		}
	}
	return refs, nil
}

// Fetch brings refs (full names) with all they reach into the mirror and returns
// what they pointed at. A ref that the remote doesn't have is ErrGone.
func (m *Mirror) Fetch(ctx context.Context, refs ...string) (map[string]CommitSHA, error) {
	specs := make([]config.RefSpec, len(refs))
	for i, ref := range refs {
		specs[i] = config.RefSpec("+" + ref + ":" + ref)
		if err := specs[i].Validate(); err != nil {
			return nil, fmt.Errorf("fetch %s of %s: %w", ref, m.remote.URL, err)
		}
	}
	if err := m.fetch(ctx, specs); err != nil {
		return nil, err
	}
	got := make(map[string]CommitSHA, len(refs))
	for _, ref := range refs {
		r, err := m.repo.Reference(plumbing.ReferenceName(ref), true)
		if err != nil {
			return nil, fmt.Errorf("fetch %s of %s: %w", ref, m.remote.URL, ErrGone)
		}
		got[ref] = CommitSHA(r.Hash().String())
	}
	return got, nil
}

// FetchCommit brings one commit by its name, whether or not a ref points at it:
// refs may lag behind the event that announced the commit. It does nothing when
// the mirror has it.
func (m *Mirror) FetchCommit(ctx context.Context, sha CommitSHA) error {
	if m.Has(sha) {
		return nil
	}
	return m.fetch(ctx, []config.RefSpec{config.RefSpec(string(sha) + ":refs/conductor/" + string(sha))})
}

func (m *Mirror) fetch(ctx context.Context, specs []config.RefSpec) error {
	remote := git.NewRemote(m.repo.Storer, &config.RemoteConfig{Name: "origin", URLs: []string{m.remote.URL}})
	err := remote.FetchContext(ctx, &git.FetchOptions{
		RemoteURL: m.remote.URL, RefSpecs: specs, Auth: m.remote.Auth, Tags: git.NoTags, Force: true,
	})
	var missing git.NoMatchingRefSpecError
	switch {
	case err == nil, errors.Is(err, git.NoErrAlreadyUpToDate):
		return nil
	case errors.As(err, &missing), errors.Is(err, transport.ErrEmptyRemoteRepository):
		return fmt.Errorf("fetch from %s: %v: %w", m.remote.URL, err, ErrGone)
	}
	return fmt.Errorf("fetch from %s: %w", m.remote.URL, err)
}

// Has reports whether the mirror holds a commit.
func (m *Mirror) Has(sha CommitSHA) bool {
	_, err := m.repo.CommitObject(sha.hash())
	return err == nil
}

// Resolve turns a revision (branch, tag, HEAD~1, abbreviated name) into a commit.
func (m *Mirror) Resolve(rev string) (CommitSHA, error) {
	hash, err := m.repo.ResolveRevision(plumbing.Revision(rev))
	if err != nil {
		return "", fmt.Errorf("resolve revision %q: %w", rev, err)
	}
	return CommitSHA(hash.String()), nil
}

func (m *Mirror) commit(sha CommitSHA) (*object.Commit, error) {
	c, err := m.repo.CommitObject(sha.hash())
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", sha, err)
	}
	return c, nil
}

// DefaultBranch asks the remote which branch its HEAD is.
func (m *Mirror) DefaultBranch(ctx context.Context) (string, error) {
	remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{m.remote.URL}})
	list, err := remote.ListContext(ctx, &git.ListOptions{Auth: m.remote.Auth})
	if err != nil {
		return "", fmt.Errorf("list refs of %s: %w", m.remote.URL, err)
	}
	for _, r := range list {
		if r.Name() == plumbing.HEAD && r.Type() == plumbing.SymbolicReference {
			return r.Target().Short(), nil
		}
	}
	return "", fmt.Errorf("the HEAD of %s is no branch: name one with --branch", m.remote.URL)
}

// ResolveRemote turns a branch or tag of the remote, or a full commit name, into a
// commit and fetches it.
func (m *Mirror) ResolveRemote(ctx context.Context, rev string) (CommitSHA, error) {
	refs, err := m.Refs(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"refs/heads/" + rev, "refs/tags/" + rev, rev} {
		if _, ok := refs[name]; ok {
			if _, err := m.Fetch(ctx, name); err != nil {
				return "", err
			}
			return m.Resolve(name)
		}
	}
	return m.Resolve(rev)
}
