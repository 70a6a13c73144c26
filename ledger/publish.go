package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/mod/sumdb/tlog"
)

// pushAttempts bounds how often a batch is rebuilt after another writer won.
const pushAttempts = 12

// publish makes a group's entries part of the ledger, in one push. It builds on
// the tip that the server tells at the start of the push, so that the push is a
// compare-and-swap; whoever loses it builds again. After an error the tip is
// read again first: the push may have landed. Called with the state held.
func (l *Log) publish(ctx context.Context, group []*request) error {
	var last error
	for attempt := range pushAttempts {
		if attempt > 0 {
			pause := time.Duration(5<<min(attempt, 8)) * time.Millisecond
			time.Sleep(pause/2 + rand.N(pause))
		}
		done, err := l.attempt(ctx, group)
		if done || errors.Is(err, ErrDiverged) || errors.Is(err, ErrInvalidDraft) || errors.Is(err, ErrForeignKeys) {
			return err
		}
		last = err
		l.opts.Logger.Warn("audit repository push did not succeed, trying again", "attempt", attempt+1, "error", err)
		l.clearStaleLock()
	}
	return fmt.Errorf("append to the ledger, %d attempts: %w", pushAttempts, last)
}

// attempt publishes the group once. done says that the group's requests have
// their receipts.
func (l *Log) attempt(ctx context.Context, group []*request) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.PushTimeout)
	defer cancel()
	push, err := l.end.startPush(ctx)
	if err != nil {
		return false, err
	}
	defer push.close() //nolint:errcheck // the answer was read, or the tip will be
	if _, err := l.advance(ctx, push.tip); err != nil {
		return false, err
	}
	p, err := l.plan(ctx, group)
	if err != nil {
		return false, err
	}
	if p == nil {
		return true, nil
	}
	objects, err := p.pack.encode()
	if err != nil {
		return false, err
	}
	if err := push.send(ctx, p.next.hash, objects); err != nil {
		landed, readErr := l.landed(p)
		if !landed {
			return false, errors.Join(err, readErr)
		}
	} else {
		l.tip = p.next
	}
	l.pushed = time.Now()
	first := p.next.cp.Size - int64(len(p.commits))
	for i, c := range p.commits {
		l.recent.Add(first+int64(i), c)
	}
	l.opts.Logger.Debug("published", "entries", len(p.commits), "size", p.next.cp.Size, "tip", p.next.hash.String())
	return true, p.pack.remember(l.st)
}

// landed reads the tip after a push that failed or wasn't answered, and says
// whether the push is part of the history all the same.
func (l *Log) landed(p *plan) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.opts.PushTimeout)
	defer cancel()
	h, err := l.st.src.tip(ctx)
	if err != nil {
		return false, err
	}
	if h == p.next.hash {
		l.tip = p.next
		return true, nil
	}
	passed, err := l.advance(ctx, h)
	return passed[p.next.hash], err
}

// plan builds the group's push on the tip, and fills in the receipts. It returns
// nil if nothing is new.
func (l *Log) plan(ctx context.Context, group []*request) (*plan, error) {
	when := l.opts.Now().UTC().Truncate(time.Second)
	if when.Before(l.tip.when) {
		when = l.tip.when // history's times never go back
	}
	root := dirAt(l.tip.tree)
	if err := l.warm(ctx, group); err != nil {
		return nil, err
	}
	var entries []*entry
	var patches [][]byte
	taken := map[string]int64{} // commit and repository -> entry of this push
	files := map[string]*cursorFile{}
	for _, r := range group {
		r.receipts = make([]Receipt, len(r.batch.Drafts))
		for i, d := range r.batch.Drafts {
			key := d.Change.Commit + " " + d.Change.Repository.ID
			n, known := taken[key]
			if !known {
				index, err := l.text(ctx, root, newPack(), commitIndexPath(d.Change.Commit))
				if err != nil {
					return nil, err
				}
				n, known = recorded(index, d.Change.Repository.ID)
			}
			if !known {
				n = l.tip.cp.Size + int64(len(entries))
				e, err := newEntry(d, n, when)
				if err != nil {
					return nil, err
				}
				entries, patches = append(entries, e), append(patches, d.Patch)
				taken[key] = n
			}
			r.receipts[i] = Receipt{Entry: EntryName(n), Number: n, Path: EntryPath(n), Existing: known}
		}
		for _, c := range r.batch.Cursors {
			f := files[c.Repository.ID]
			if f == nil {
				var err error
				if f, err = l.cursors(ctx, root, c.Repository.ID); err != nil {
					return nil, err
				}
				files[c.Repository.ID] = f
			}
			f.set(c)
		}
	}
	moved, err := l.moved(ctx, root, files)
	if err != nil {
		return nil, err
	}
	var p *plan
	if len(entries)+len(moved) > 0 {
		if p, err = l.build(ctx, l.tip, entries, patches, moved, when); err != nil {
			return nil, err
		}
	}
	l.addCommits(group, p)
	return p, nil
}

// addCommits completes receipts with the audit commits that are known.
func (l *Log) addCommits(group []*request, p *plan) {
	first := l.tip.cp.Size
	for _, r := range group {
		for i := range r.receipts {
			rc := &r.receipts[i]
			if p != nil && rc.Number >= first {
				rc.Commit = p.commits[rc.Number-first].String()
			} else if h, ok := l.recent.Get(rc.Number); ok {
				rc.Commit = h.String()
			}
		}
	}
}

// moved encodes the cursor files that differ from the tip's.
func (l *Log) moved(ctx context.Context, root *dir, files map[string]*cursorFile) (map[string][]byte, error) {
	out := map[string][]byte{}
	for id, f := range files {
		b, err := marshal(f)
		if err != nil {
			return nil, err
		}
		if _, err := parseCursors(b, id); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidDraft, err)
		}
		h, err := root.blobAt(ctx, l.st, cursorPath(id))
		if err != nil {
			return nil, err
		}
		if h != plumbing.ComputeHash(plumbing.BlobObject, b) {
			out[cursorPath(id)] = b
		}
	}
	return out, nil
}

// warm loads what a group's entries will touch, where each read is a round trip.
func (l *Log) warm(ctx context.Context, group []*request) error {
	if l.end.local() {
		return nil
	}
	n := l.tip.cp.Size
	paths := []string{entryBase(n) + ".json", readmePath}
	for _, r := range group {
		for _, d := range r.batch.Drafts {
			paths = append(paths, commitIndexPath(d.Change.Commit))
			for _, t := range d.Change.Tenants {
				paths = append(paths, dayPagePath(t, d.Change.MergedAt, 1))
			}
		}
		for _, c := range r.batch.Cursors {
			paths = append(paths, cursorPath(c.Repository.ID))
		}
	}
	return l.st.warm(ctx, l.tip.tree, append(paths, edgePaths(n)...))
}

// load reads and checks the repository at a commit.
func (l *Log) load(ctx context.Context, h plumbing.Hash) (*tip, error) {
	c, err := l.st.commit(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("read the ledger's tip %s: %w", h, err)
	}
	t := &tip{hash: h, tree: c.tree, when: c.when}
	root := dirAt(c.tree)
	// The tiles' folders are on the way; which tiles, the checkpoint says.
	front := []string{checkpointPath, readmePath, "keys/log.vkey", "keys/" + l.pub.ID + ".pub", "tile/0/-", "tile/1/-", "tile/entries/-"}
	if err := l.warmRemote(ctx, c.tree, front); err != nil {
		return nil, err
	}
	read := func(path string, max int) ([]byte, error) {
		blob, err := root.blobAt(ctx, l.st, path)
		if err != nil {
			return nil, err
		}
		b, err := l.st.blob(ctx, blob, max)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return b, nil
	}
	for path, want := range map[string][]byte{"keys/log.vkey": []byte(l.pub.vkey() + "\n"), "keys/" + l.pub.ID + ".pub": []byte(l.pub.entryPEM())} {
		got, err := read(path, maxSignersBytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForeignKeys, err)
		}
		if !bytes.Equal(got, want) {
			return nil, fmt.Errorf("%w: %s differs", ErrForeignKeys, path)
		}
	}
	if err := c.verify(l.signers()); err != nil {
		return nil, fmt.Errorf("the ledger's tip %s: %w", h, err)
	}
	if t.note, err = read(checkpointPath, maxCheckpointBytes); err != nil {
		return nil, err
	}
	if t.cp, err = openCheckpoint(t.note, l.pub); err != nil {
		return nil, err
	}
	if err := l.warmRemote(ctx, c.tree, edgePaths(t.cp.Size)); err != nil {
		return nil, err
	}
	if t.edge, err = loadEdge(t.cp, read); err != nil {
		return nil, fmt.Errorf("read the ledger's tiles: %w", err)
	}
	home, err := read(readmePath, maxTextBytes)
	t.rows = rowsOf(home)
	return t, err
}

func (l *Log) warmRemote(ctx context.Context, tree plumbing.Hash, paths []string) error {
	if l.end.local() {
		return nil
	}
	return l.st.warm(ctx, tree, paths)
}

// signers are our own keys' allowed signers.
func (l *Log) signers() []signer {
	s, err := parseAllowedSigners(l.pub.allowedSigners())
	if err != nil {
		panic(err) // we wrote it
	}
	return s
}

// advance moves to a tip that somebody else pushed, after proof that it extends
// ours: as a Git history and as a Merkle tree. It returns the commits between.
func (l *Log) advance(ctx context.Context, h plumbing.Hash) (map[plumbing.Hash]bool, error) {
	if h == l.tip.hash {
		return nil, nil
	}
	if h.IsZero() {
		return nil, fmt.Errorf("%w (the branch is gone)", ErrDiverged)
	}
	passed, err := l.walk(ctx, h)
	if err != nil {
		return nil, err
	}
	next, err := l.load(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := l.consistent(ctx, l.tip.cp, next); err != nil {
		return nil, err
	}
	l.tip = next
	return passed, nil
}

// walk follows the one line of parents from h to the tip last seen, checking
// each signature.
func (l *Log) walk(ctx context.Context, h plumbing.Hash) (map[plumbing.Hash]bool, error) {
	got, err := l.st.src.history(ctx, h, l.tip.hash)
	if err != nil {
		return nil, err
	}
	signers := l.signers()
	passed := map[plumbing.Hash]bool{}
	for at := h; at != l.tip.hash; {
		if at.IsZero() {
			return nil, fmt.Errorf("%w (tip %s is not a descendant of %s)", ErrDiverged, h, l.tip.hash)
		}
		passed[at] = true
		var c *commit
		if o, ok := got[at]; ok {
			var raw []byte
			if raw, err = checkObject(o, at, plumbing.CommitObject, maxCommitBytes); err == nil {
				c, err = parseCommit(raw)
			}
		} else {
			c, err = l.st.commit(ctx, at)
		}
		if err == nil {
			err = c.verify(signers)
		}
		if err != nil {
			return nil, fmt.Errorf("%w (commit %s: %w)", ErrDiverged, at, err)
		}
		at = c.parent
	}
	return passed, nil
}

// consistent proves that the tree at next extends the tree of an older
// checkpoint.
func (l *Log) consistent(ctx context.Context, old Checkpoint, next *tip) error {
	if old.Size > next.cp.Size {
		return fmt.Errorf("%w (%d entries were seen, %d are there)", ErrDiverged, old.Size, next.cp.Size)
	}
	if old.Size == 0 {
		return nil
	}
	tiles := &tileFiles{ctx: ctx, st: l.st, root: dirAt(next.tree)}
	r := tlog.TileHashReader(tlog.Tree{N: next.cp.Size, Hash: next.cp.Root}, tiles)
	proof, err := tlog.ProveTree(next.cp.Size, old.Size, r)
	if err != nil {
		return fmt.Errorf("read the ledger's tiles: %w", err)
	}
	if err := tlog.CheckTree(proof, next.cp.Size, next.cp.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("%w (the first %d entries were changed: %w)", ErrDiverged, old.Size, err)
	}
	return nil
}

// tileFiles reads tiles of one commit (tlog.TileReader).
type tileFiles struct {
	ctx  context.Context
	st   *store
	root *dir
}

func (t *tileFiles) Height() int { return tileHeight }

func (t *tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		h, err := t.root.blobAt(t.ctx, t.st, tilePath(tile))
		if err != nil {
			return nil, err
		}
		b, err := t.st.blob(t.ctx, h, maxTileBytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tilePath(tile), err)
		}
		out = append(out, b)
	}
	return out, nil
}

func (t *tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

// clearStaleLock removes a lock that a killed git left on a local branch, and
// which would stop every later push.
func (l *Log) clearStaleLock() {
	src, ok := l.st.src.(*localSource)
	if !ok {
		return
	}
	info, err := os.Stat(src.lockFile())
	if err != nil || time.Since(info.ModTime()) < l.opts.StaleLock {
		return
	}
	if err := os.Remove(src.lockFile()); err == nil {
		l.opts.Logger.Warn("removed a stale lock of the audit repository", "file", src.lockFile())
	}
}
