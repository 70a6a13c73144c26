package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Filter selects entries. Zero fields select all.
type Filter struct {
	Tenant     string
	Repository string // id or name
	// Since keeps changes merged at or after it.
	Since time.Time
	// Limit is the most entries to return; 0: all.
	Limit int
	// Auth logs in to a remote; nil is anonymous.
	Auth transport.AuthMethod
}

func (f Filter) match(c *Change) bool {
	return (f.Tenant == "" || slices.Contains(c.Tenants, f.Tenant)) &&
		(f.Repository == "" || f.Repository == c.Repository.ID || f.Repository == c.Repository.Name) &&
		!c.MergedAt.Before(f.Since)
}

// Entry is one entry as it is read back, without verification.
type Entry struct {
	Number int64 `json:"number"`
	// Change is the change that it records; zero if it is about keys.
	Change Change `json:"change"`
	// Key is set in an entry about keys.
	Key *KeyEvent `json:"keyEvent,omitempty"`
	// Path is the page's; the others lie beside it.
	Path string `json:"path"`
	// Files are the paths of all its files. Set by Show, as all below.
	Files     []string        `json:"files,omitempty"`
	Page      string          `json:"-"`
	Statement json.RawMessage `json:"-"`
	Bundle    json.RawMessage `json:"bundle,omitempty"`
	Patch     []byte          `json:"-"`
}

// Name is "CL-552".
func (e Entry) Name() string { return EntryName(e.Number) }

// ErrNoEntry: the ledger has no entry of that number.
var ErrNoEntry = errors.New("the ledger has no such entry")

// Entries lists changes, newest first. It trusts the repository; Verify doesn't.
func Entries(ctx context.Context, remote string, f Filter) ([]Entry, error) {
	r, err := openReader(ctx, remote, f.Auth, true)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var out []Entry
	for n := r.size - 1; n >= 0; n-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := r.entry(ctx, n)
		if err != nil {
			return nil, err
		}
		if e.Key != nil || !f.match(&e.Change) {
			continue
		}
		e.Statement = nil
		if out = append(out, e); len(out) == f.Limit {
			break
		}
	}
	return out, nil
}

// Show reads one entry with all its files, without verification. It returns
// ErrNoEntry for a number that isn't there.
func Show(ctx context.Context, remote string, n int64, auth transport.AuthMethod) (Entry, error) {
	r, err := openReader(ctx, remote, auth, false)
	if err != nil {
		return Entry{}, err
	}
	defer r.close()
	if n < 0 || n >= r.size {
		return Entry{}, fmt.Errorf("%s: %w", EntryName(n), ErrNoEntry)
	}
	e, err := r.entry(ctx, n)
	if err != nil {
		return e, err
	}
	base := entryBase(n)
	e.Files = []string{base + ".json", base + ".sigstore.json", base + ".md"}
	page, err := r.file(ctx, base+".md", maxTextBytes)
	if err != nil {
		return e, err
	}
	e.Page = string(page)
	if e.Bundle, err = r.file(ctx, base+".sigstore.json", maxBundleBytes); err != nil {
		return e, err
	}
	if e.Change.Diff.Stored {
		e.Files = append(e.Files, base+".patch")
		e.Patch, err = r.file(ctx, base+".patch", MaxPatchBytes)
	}
	return e, err
}

// reader reads files of the tip.
type reader struct {
	st   *store
	root *dir
	size int64
}

// openReader opens the tip. whole says that much will be read, so that a remote
// is better copied than asked for each file.
func openReader(ctx context.Context, remote string, auth transport.AuthMethod, whole bool) (*reader, error) {
	end, err := newEndpoint(remote, auth)
	if err != nil {
		return nil, err
	}
	var src source
	if whole {
		src, err = end.openWhole(ctx)
	} else {
		src, err = end.open(ctx)
	}
	if err != nil {
		return nil, err
	}
	r := &reader{st: newStore(src)}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, src.close())
	}
	return r, nil
}

func (r *reader) start(ctx context.Context) error {
	h, err := r.st.src.tip(ctx)
	if err != nil {
		return err
	}
	if h.IsZero() {
		return ErrNotInitialized
	}
	c, err := r.st.commit(ctx, h)
	if err != nil {
		return fmt.Errorf("read the ledger's tip %s: %w", h, err)
	}
	r.root = dirAt(c.tree)
	vkey, err := r.file(ctx, "keys/log.vkey", maxSignersBytes)
	if err != nil {
		return err
	}
	note, err := r.file(ctx, checkpointPath, maxCheckpointBytes)
	if err != nil {
		return err
	}
	cp, err := openCheckpointWith(note, string(vkey))
	if err != nil {
		return err
	}
	r.size = cp.Size
	return nil
}

func (r *reader) file(ctx context.Context, path string, max int) ([]byte, error) {
	h, err := r.root.blobAt(ctx, r.st, path)
	if err == nil && h.IsZero() {
		err = plumbing.ErrObjectNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	b, err := r.st.blob(ctx, h, max)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

func (r *reader) entry(ctx context.Context, n int64) (Entry, error) {
	b, err := r.file(ctx, entryBase(n)+".json", maxStatementBytes)
	if err != nil {
		return Entry{}, err
	}
	e, err := parseStatement(b)
	if err != nil {
		return Entry{}, fmt.Errorf("read %s: %w", EntryName(n), err)
	}
	out := Entry{Number: n, Path: EntryPath(n), Key: e.key, Statement: b}
	if e.change != nil {
		out.Change = *e.change
	}
	return out, nil
}

func (r *reader) close() error { return r.st.src.close() }
