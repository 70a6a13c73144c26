package ledger

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sync/errgroup"
)

// compare holds a commit's tree against the one it must have. The hashes are
// equal in a sound ledger; if not, the first path that differs is looked for.
func (r *replayer) compare(ctx context.Context, c *commitFacts, e *checkedEntry) error {
	want := r.ws.root.encode(r.ws.emit)
	if want == c.tree {
		return nil
	}
	p, err := r.firstDifference(ctx, r.ws.root, c.tree, "")
	if err != nil {
		return &Problem{Commit: c.hash.String(), Path: p, Message: err.Error()}
	}
	problem := &Problem{Commit: c.hash.String(), Path: p}
	if e != nil {
		problem.Entry = EntryName(e.number)
	}
	problem.Message = "differs from what the ledger's entries give"
	if n, ok := entryOfPath(p); ok {
		problem.Entry = EntryName(n)
		switch {
		case e != nil && n == e.number:
			if at := r.lastChange(ctx, p); at != problem.Commit {
				problem.Commit, problem.Message = at, "the file of a published entry was changed later"
			}
		case n < r.next:
			problem.Message = "the file of a published entry was changed"
		default:
			problem.Message = "the file belongs to no entry of this commit"
		}
	} else if e == nil {
		problem.Message = "a commit that moves cursors changed another file"
	}
	return problem
}

var entryFile = regexp.MustCompile(`/CL-([0-9]{1,18})\.[a-z.]+$`)

func entryOfPath(p string) (int64, bool) {
	m := entryFile.FindStringSubmatch(p)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n, err == nil && strings.HasPrefix(p, entryBase(n)+".")
}

// firstDifference walks two trees down to the first path that differs. A
// difference in an entry's or another source file is told before one in what is
// derived from it, so change-log/ is looked at first.
func (r *replayer) firstDifference(ctx context.Context, want *dir, got plumbing.Hash, at string) (string, error) {
	lines, err := r.st.tree(ctx, got)
	if err != nil {
		return at, err
	}
	have := map[string]plumbing.Hash{}
	for _, l := range lines {
		have[l.sortKey()] = l.hash
	}
	if err := want.load(ctx, r.st); err != nil {
		return at, err
	}
	names := []string{"change-log/", "keys/"}
	known := map[string]plumbing.Hash{}
	for _, e := range want.entries {
		known[e.sortKey()] = e.hash
		names = append(names, e.sortKey())
	}
	for _, l := range lines {
		if _, ok := known[l.sortKey()]; !ok {
			names = append(names, l.sortKey())
		}
	}
	for _, name := range names {
		w, wanted := known[name]
		h, there := have[name]
		if wanted == there && w == h {
			continue
		}
		p := path.Join(at, name)
		if !strings.HasSuffix(name, "/") || !wanted || !there {
			return p, nil
		}
		sub, err := want.child(ctx, r.st, strings.TrimSuffix(name, "/"), false)
		if err != nil {
			return p, err
		}
		return r.firstDifference(ctx, sub, h, p)
	}
	return at, errors.New("the trees differ in a way that git does not write")
}

// lastChange is the newest commit that changed a path; "" if it can't be told.
func (r *replayer) lastChange(ctx context.Context, p string) string {
	for i := len(r.commits) - 1; i > 0; i-- {
		now, err := dirAt(r.commits[i].tree).blobAt(ctx, r.st, p)
		if err != nil {
			return r.commits[i].hash.String()
		}
		before, err := dirAt(r.commits[i-1].tree).blobAt(ctx, r.st, p)
		if err != nil || now != before {
			return r.commits[i].hash.String()
		}
	}
	return r.commits[0].hash.String()
}

// sweep reads every file of the tip that replaying did not need, so that a copy
// with a damaged or missing object isn't called verified. The trees are known to
// be right by now.
func (v *verifier) sweep(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	paths := make(chan treePath, 4*v.opts.Jobs)
	for range v.opts.Jobs {
		src, err := v.src.reopen()
		if err != nil {
			return err
		}
		st := newStore(src)
		g.Go(func() error {
			for p := range paths {
				if _, err := st.read(ctx, p.hash, plumbing.BlobObject, maxBundleBytes); err != nil {
					return v.unreadable(ctx, p.path, err)
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(paths)
		return v.list(ctx, v.head, "", paths)
	})
	return g.Wait()
}

type treePath struct {
	path string
	hash plumbing.Hash
}

func (v *verifier) list(ctx context.Context, tree plumbing.Hash, at string, out chan<- treePath) error {
	lines, err := v.st.tree(ctx, tree)
	if err != nil {
		return v.unreadable(ctx, at, err)
	}
	for _, l := range lines {
		p := path.Join(at, l.name)
		switch {
		case l.dir:
			err = v.list(ctx, l.hash, p, out)
		case strings.HasPrefix(p, "change-log/") && !strings.HasSuffix(p, ".md"):
			// read and checked already
		default:
			select {
			case out <- treePath{p, l.hash}:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) unreadable(ctx context.Context, p string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	problem := &Problem{Path: p, Message: fmt.Sprintf("can't be read: %v", err)}
	if n, ok := entryOfPath(p); ok {
		problem.Entry = EntryName(n)
	}
	return problem
}
