package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	"github.com/go-git/go-git/v5/storage/memory"
)

// endpoint is a remote and how to log in to it.
type endpoint struct {
	ep     *transport.Endpoint
	client transport.Transport
	auth   transport.AuthMethod
}

// newEndpoint reads a path or URL. Paths are made absolute, for git runs
// elsewhere.
func newEndpoint(remote string, auth transport.AuthMethod) (*endpoint, error) {
	ep, err := transport.NewEndpoint(remote)
	if err != nil {
		return nil, fmt.Errorf("audit repository address: %w", err)
	}
	if ep.Protocol == "file" {
		if ep.Path, err = filepath.Abs(ep.Path); err != nil {
			return nil, fmt.Errorf("audit repository address: %w", err)
		}
	}
	c, err := client.NewClient(ep)
	if err != nil {
		return nil, fmt.Errorf("audit repository address: %w", err)
	}
	return &endpoint{ep: ep, client: c, auth: auth}, nil
}

func (e *endpoint) local() bool { return e.ep.Protocol == "file" }

// open returns the source for the endpoint. A server that can't send single
// objects is mirrored into a temporary folder.
func (e *endpoint) open(ctx context.Context) (source, error) {
	if e.local() {
		return openLocal(e.ep.Path)
	}
	adv, err := e.advertised(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return &remoteSource{endpoint: e}, nil
	}
	if err != nil {
		return nil, err
	}
	if canPick(adv) {
		return &remoteSource{endpoint: e, caps: adv.Capabilities}, nil
	}
	return e.mirror(ctx)
}

func canPick(adv *packp.AdvRefs) bool {
	c := adv.Capabilities
	return c.Supports(capability.Filter) &&
		(c.Supports(capability.AllowReachableSHA1InWant) || c.Supports("allow-any-sha1-in-want"))
}

func (e *endpoint) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	s, err := e.uploadPack()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.AdvertisedReferencesContext(ctx)
}

func (e *endpoint) uploadPack() (transport.UploadPackSession, error) {
	s, err := e.client.NewUploadPackSession(e.ep, e.auth)
	if err != nil {
		return nil, fmt.Errorf("reach audit repository: %w", err)
	}
	return s, nil
}

// remoteSource asks a server for single objects: a filtered fetch (tree:0) of
// exact hashes, never a clone.
type remoteSource struct {
	*endpoint
	caps *capability.List // what the server said it can do; nil: not asked yet
}

// maxFetchBytes bounds what a server may send for one request.
const maxFetchBytes = 512 << 20

func (r *remoteSource) tip(ctx context.Context) (plumbing.Hash, error) {
	adv, err := r.advertised(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read audit repository: %w", err)
	}
	return adv.References[branchRef], nil
}

func (r *remoteSource) objects(ctx context.Context, hashes []plumbing.Hash, max int) (map[plumbing.Hash]rawObject, error) {
	st, err := r.fetch(ctx, hashes, plumbing.ZeroHash, 1)
	if err != nil {
		return nil, err
	}
	out := make(map[plumbing.Hash]rawObject, len(hashes))
	for _, h := range hashes {
		o, err := st.EncodedObject(plumbing.AnyObject, h)
		if err != nil {
			return nil, fmt.Errorf("%s was not sent: %w", h, err)
		}
		b, err := readAll(o, max)
		if err != nil {
			return nil, err
		}
		out[h] = rawObject{o.Type(), b}
	}
	return out, nil
}

func (r *remoteSource) history(ctx context.Context, tip, have plumbing.Hash) (map[plumbing.Hash]rawObject, error) {
	st, err := r.fetch(ctx, []plumbing.Hash{tip}, have, 0)
	if err != nil {
		return nil, err
	}
	out := map[plumbing.Hash]rawObject{}
	for h, o := range st.Commits {
		b, err := readAll(o, maxCommitBytes)
		if err != nil {
			return nil, err
		}
		out[h] = rawObject{plumbing.CommitObject, b}
	}
	return out, nil
}

// fetch asks for wants without what they point to, except that depth 0 brings
// the commits before them, down to have.
func (r *remoteSource) fetch(ctx context.Context, wants []plumbing.Hash, have plumbing.Hash, depth int) (*memory.Storage, error) {
	s, err := r.uploadPack()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if r.caps == nil {
		adv, err := s.AdvertisedReferencesContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("read audit repository: %w", err)
		}
		r.caps = adv.Capabilities
	}
	req := packp.NewUploadPackRequestFromCapabilities(r.caps)
	req.Wants = wants
	req.Filter = packp.FilterTreeDepth(0)
	if err := req.Capabilities.Set(capability.Filter); err != nil {
		return nil, err
	}
	if depth > 0 {
		req.Depth = packp.DepthCommits(depth)
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return nil, err
		}
	}
	if !have.IsZero() {
		req.Haves = []plumbing.Hash{have}
	}
	resp, err := s.UploadPack(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("fetch from audit repository: %w", err)
	}
	defer resp.Close()
	return readPack(demux(req.Capabilities, resp))
}

func readPack(r io.Reader) (*memory.Storage, error) {
	st := memory.NewStorage()
	scanner := packfile.NewScanner(io.LimitReader(r, maxFetchBytes))
	parser, err := packfile.NewParserWithStorage(scanner, objectsOnly{st})
	if err != nil {
		return nil, fmt.Errorf("fetch from audit repository: %w", err)
	}
	if _, err := parser.Parse(); err != nil {
		return nil, fmt.Errorf("fetch from audit repository: %w", err)
	}
	return st, nil
}

// objectsOnly hides everything of a storage but its objects.
type objectsOnly struct{ storer.EncodedObjectStorer }

// openWhole returns a source that has everything at hand.
func (e *endpoint) openWhole(ctx context.Context) (opener, error) {
	if e.local() {
		return openLocal(e.ep.Path)
	}
	return e.mirror(ctx)
}

// mirror copies the whole branch into a temporary folder, for servers that have
// no partial fetch.
func (e *endpoint) mirror(ctx context.Context) (*mirrorSource, error) {
	dir, err := os.MkdirTemp("", "conductor-ledger-")
	if err != nil {
		return nil, err
	}
	repo, err := git.PlainInit(dir, true)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if _, err = repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{e.ep.String()}}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	m := &mirrorSource{endpoint: e, repo: repo, dir: dir}
	if _, err := m.tip(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return m, nil
}

// mirrorSource is a temporary copy of a remote's branch.
type mirrorSource struct {
	*endpoint
	*localSource
	repo *git.Repository
	dir  string
}

func (m *mirrorSource) tip(ctx context.Context) (plumbing.Hash, error) {
	err := m.repo.FetchContext(ctx, &git.FetchOptions{
		RemoteName: "origin", Auth: m.auth, Tags: git.NoTags, Force: true,
		RefSpecs: []config.RefSpec{"+" + branchRef + ":" + branchRef},
	})
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return plumbing.ZeroHash, nil
	}
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return plumbing.ZeroHash, fmt.Errorf("fetch audit repository: %w", err)
	}
	l, err := openLocal(m.dir)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	m.localSource = l
	return l.tip(ctx)
}

// history brings the copy up to date, so that the commits can be read from it.
func (m *mirrorSource) history(ctx context.Context, _, _ plumbing.Hash) (map[plumbing.Hash]rawObject, error) {
	_, err := m.tip(ctx)
	return nil, err
}

func (m *mirrorSource) close() error { return os.RemoveAll(m.dir) }

func (r *remoteSource) close() error { return nil }
