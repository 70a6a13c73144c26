package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// replayChunk is how many entries one worker takes at a time.
const replayChunk = 64

// checkedEntry is an entry whose own files hold together.
type checkedEntry struct {
	*entry
	verifiedBundle
	blobs entryBlobs
	err   *Problem
}

// chunk is a run of entries that a worker checks.
type chunk struct {
	first int64
	out   []checkedEntry
	done  chan struct{}
}

// replay makes the ledger again, commit by commit, and compares.
func (v *verifier) replay(ctx context.Context) error {
	entries := int64(0)
	for _, c := range v.commits {
		if c.message != cursorMessage {
			entries++
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	jobs, ordered := make(chan *chunk), make(chan *chunk, 4*v.opts.Jobs)
	g.Go(func() error {
		defer close(jobs)
		defer close(ordered)
		for first := int64(0); first < entries; first += replayChunk {
			c := &chunk{first: first, out: make([]checkedEntry, min(replayChunk, entries-first)), done: make(chan struct{})}
			for _, to := range []chan *chunk{ordered, jobs} {
				select {
				case to <- c:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
		}
		return nil
	})
	for range v.opts.Jobs {
		g.Go(func() error { return v.work(gctx, jobs) })
	}
	g.Go(func() error { return newReplayer(v, ordered).run(gctx) })
	return g.Wait()
}

// work checks chunks with its own handle on the repository.
func (v *verifier) work(ctx context.Context, jobs <-chan *chunk) error {
	src, err := v.src.reopen()
	if err != nil {
		return err
	}
	w := &entryChecker{pub: v.pub, st: newStore(src), head: dirAt(v.head)}
	for c := range jobs {
		for i := range c.out {
			if err := ctx.Err(); err != nil {
				return err
			}
			w.check(ctx, c.first+int64(i), &c.out[i])
		}
		close(c.done)
	}
	return nil
}

// entryChecker reads entries out of the tip's tree.
type entryChecker struct {
	pub  *Public
	st   *store
	head *dir
	note string // last checkpoint that was verified: a batch shares one
	cp   Checkpoint
}

func (w *entryChecker) open(note string) (Checkpoint, error) {
	if note == w.note && note != "" {
		return w.cp, nil
	}
	cp, err := openCheckpoint([]byte(note), w.pub)
	if err == nil {
		w.note, w.cp = note, cp
	}
	return cp, err
}

func (w *entryChecker) check(ctx context.Context, n int64, out *checkedEntry) {
	base := entryBase(n)
	fail := func(suffix string, err error) {
		out.err = &Problem{Entry: EntryName(n), Path: base + suffix, Message: err.Error()}
	}
	read := func(suffix string, max int) (plumbing.Hash, []byte, error) {
		h, err := w.head.blobAt(ctx, w.st, base+suffix)
		if err != nil {
			return h, nil, err
		}
		if h.IsZero() {
			return h, nil, errors.New("the file is missing")
		}
		b, err := w.st.read(ctx, h, plumbing.BlobObject, max)
		return h, b, err
	}
	var statement, bundle, patch []byte
	var err error
	if out.blobs.statement, statement, err = read(".json", maxStatementBytes); err != nil {
		fail(".json", err)
		return
	}
	if out.entry, err = parseStatement(statement); err != nil {
		fail(".json", err)
		return
	}
	if out.number != n {
		fail(".json", fmt.Errorf("the statement is numbered %d", out.number))
		return
	}
	if (out.key != nil) != (n == 0) {
		fail(".json", errors.New("keys are introduced by CL-0 and by no other entry"))
		return
	}
	if out.blobs.bundle, bundle, err = read(".sigstore.json", maxBundleBytes); err != nil {
		fail(".sigstore.json", err)
		return
	}
	bd, err := ParseBundle(bundle)
	if err != nil {
		fail(".sigstore.json", err)
		return
	}
	if out.verifiedBundle, err = checkBundle(w.pub, bd, statement, n, w.open); err != nil {
		fail(".sigstore.json", err)
		return
	}
	if out.change != nil && out.change.Diff.Stored {
		if out.blobs.patch, patch, err = read(".patch", MaxPatchBytes); err != nil {
			fail(".patch", err)
			return
		}
		if sum := sha256.Sum256(patch); hex.EncodeToString(sum[:]) != out.change.Diff.SHA256 || int64(len(patch)) != out.change.Diff.Bytes {
			fail(".patch", errors.New("the patch is not the one that the statement's digest names"))
			return
		}
	}
	out.blobs.page = plumbing.ComputeHash(plumbing.BlobObject, page(w.pub, out.entry))
}

// replayer is the ledger as it must be, growing.
type replayer struct {
	*verifier
	ordered <-chan *chunk
	current *chunk
	used    int

	ws    *workspace
	texts map[string][]byte // derived files that later entries extend
	edge  *edge
	rows  []string
	next  int64 // number of the next entry

	batch  []checkedEntry // entries since the last checkpoint
	seen   *Checkpoint    // VerifyOptions.Seen, until it is met
	cursor plumbing.Hash  // the tree of cursors/
	when   int64
}

func newReplayer(v *verifier, ordered <-chan *chunk) *replayer {
	r := &replayer{verifier: v, ordered: ordered, texts: map[string][]byte{}, edge: &edge{}}
	r.ws = &workspace{
		root:  newDir(),
		trees: v.st,
		emit:  plumbing.ComputeHash,
		text:  func(_ context.Context, path string) ([]byte, error) { return r.texts[path], nil },
		wrote: func(path string, data []byte) {
			// A full day page is never read again.
			if strings.HasPrefix(path, "index/tenant/") && bytes.Count(data, []byte("\n| [CL-")) == dayPageRows {
				delete(r.texts, path)
				return
			}
			r.texts[path] = data
		},
	}
	return r
}

func (r *replayer) run(ctx context.Context) error {
	if r.opts.Seen != nil {
		seen, err := openCheckpoint(r.opts.Seen, r.pub)
		if err != nil {
			return &Problem{Message: "the checkpoint seen before: " + err.Error()}
		}
		r.seen = &seen
	}
	for i := range r.commits {
		c := &r.commits[i]
		if err := r.step(ctx, c); err != nil {
			return err
		}
		r.report.Commits++
		if r.opts.Progress != nil && (i%256 == 0 || i == len(r.commits)-1) {
			r.opts.Progress(int64(i+1), int64(len(r.commits)))
		}
	}
	if len(r.batch) > 0 {
		return &Problem{Entry: EntryName(r.next - 1), Message: fmt.Sprintf("the history ends before %s, with which this entry was published", EntryName(r.batch[0].through-1))}
	}
	if r.seen != nil {
		return &Problem{Path: checkpointPath, Message: fmt.Sprintf("the ledger was rolled back or rewritten: a checkpoint of %d entries was seen before, and is not part of it", r.seen.Size)}
	}
	return nil
}

// step verifies one commit.
func (r *replayer) step(ctx context.Context, c *commitFacts) error {
	if c.problem != nil {
		return &Problem{Commit: c.hash.String(), Message: c.problem.Error()}
	}
	if c.when < r.when {
		return &Problem{Commit: c.hash.String(), Message: "the commit is dated before its parent"}
	}
	r.when = c.when
	if c.message == cursorMessage {
		return r.cursorStep(ctx, c)
	}
	e, err := r.take(ctx)
	if err != nil {
		return err
	}
	if e.err != nil {
		e.err.Commit = r.lastChange(ctx, e.err.Path)
		return e.err
	}
	bad := func(format string, args ...any) error {
		return &Problem{Entry: EntryName(e.number), Commit: c.hash.String(), Message: fmt.Sprintf(format, args...)}
	}
	if c.message != entryMessage(e.entry) {
		return bad("the commit's message is not that of the next entry: an entry is missing, doubled or out of order")
	}
	if at := e.recordedAt(); at != c.when {
		return bad("the commit's time is not the time of the statement")
	}
	if old := r.texts[e.indexPath()]; e.change != nil && old != nil {
		if n, ok := recorded(old, e.change.Repository.ID); ok {
			return bad("the commit %s of %s was recorded before, as %s", e.change.Commit, e.change.Repository.ID, EntryName(n))
		}
	}
	if len(r.batch) > 0 && (r.batch[0].through != e.through || r.batch[0].note != e.note) {
		return bad("the bundle's proof is for another checkpoint than that of %s, with which it was published", EntryName(r.batch[0].number))
	}
	if err := r.ws.putEntry(ctx, r.pub, e.entry, e.blobs); err != nil {
		return bad("%v", err)
	}
	r.batch, r.next = append(r.batch, e), r.next+1
	if r.next == e.through {
		if err := r.publish(ctx, c); err != nil {
			return err
		}
	}
	if err := r.compare(ctx, c, &e); err != nil {
		return err
	}
	r.report.Entries++
	return nil
}

// publish ends a batch: tiles, checkpoint, derived pages, cursors.
func (r *replayer) publish(ctx context.Context, c *commitFacts) error {
	var entries []*entry
	var leaves [][]byte
	for _, e := range r.batch {
		entries, leaves = append(entries, e.entry), append(leaves, e.leaf)
	}
	last := r.batch[len(r.batch)-1]
	g, err := r.edge.grow(leaves)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(g.size, g)
	if err != nil {
		return err
	}
	if root != last.root {
		return &Problem{Entry: EntryName(last.number), Commit: c.hash.String(), Path: checkpointPath, Message: "the checkpoint's root is not that of the leaves"}
	}
	r.rows = newest(r.rows, entries)
	if err := r.ws.putPublished(ctx, r.pub, g, leaves, []byte(last.note), entries, r.rows); err != nil {
		return &Problem{Entry: EntryName(last.number), Commit: c.hash.String(), Message: err.Error()}
	}
	r.edge, r.batch = g.edge, nil
	r.report.Checkpoint = last.note
	if r.seen != nil && r.seen.Size == g.size {
		if r.seen.Root != root {
			return &Problem{Entry: EntryName(last.number), Commit: c.hash.String(), Path: checkpointPath,
				Message: fmt.Sprintf("the ledger was rewritten: the checkpoint of %d entries seen before has another root", g.size)}
		}
		r.seen = nil
	}
	return r.moveCursors(ctx, c)
}

func (r *replayer) cursorStep(ctx context.Context, c *commitFacts) error {
	if r.next == 0 || len(r.batch) > 0 {
		return &Problem{Commit: c.hash.String(), Message: "cursors are moved in the middle of a batch"}
	}
	before := r.cursor
	if err := r.moveCursors(ctx, c); err != nil {
		return err
	}
	if err := r.compare(ctx, c, nil); err != nil {
		return err
	}
	if r.cursor == before {
		return &Problem{Commit: c.hash.String(), Message: "the commit says that it moves cursors, and moves none"}
	}
	return nil
}

// moveCursors takes over the commit's cursors/ after parsing what is new there:
// only whoever walks the watched repository can say that they are right.
func (r *replayer) moveCursors(ctx context.Context, c *commitFacts) error {
	bad := func(p string, err error) error {
		return &Problem{Commit: c.hash.String(), Path: p, Message: err.Error()}
	}
	lines, err := r.st.tree(ctx, c.tree)
	if err != nil {
		return bad("", err)
	}
	var now plumbing.Hash
	for _, l := range lines {
		if l.name == "cursors" && l.dir {
			now = l.hash
		}
	}
	if now == r.cursor {
		return nil
	}
	if now.IsZero() {
		return bad("cursors", errors.New("the cursors were removed"))
	}
	old := map[string]plumbing.Hash{}
	if !r.cursor.IsZero() {
		lines, err := r.st.tree(ctx, r.cursor)
		if err != nil {
			return bad("cursors", err)
		}
		for _, l := range lines {
			old[l.name] = l.hash
		}
	}
	files, err := r.st.tree(ctx, now)
	if err != nil {
		return bad("cursors", err)
	}
	for _, f := range files {
		before, known := old[f.name]
		delete(old, f.name)
		if known && before == f.hash {
			continue
		}
		p := path.Join("cursors", clip(f.name, 100))
		id, ok := strings.CutSuffix(f.name, ".json")
		if f.dir || !ok || !repoIDPattern.MatchString(id) {
			return bad(p, errors.New("not a cursor file"))
		}
		b, err := r.st.blob(ctx, f.hash, maxCursorBytes)
		if err != nil {
			return bad(p, err)
		}
		if _, err := parseCursors(b, id); err != nil {
			return bad(p, err)
		}
	}
	for name := range old {
		return bad(path.Join("cursors", clip(name, 100)), errors.New("the cursor file was removed"))
	}
	r.cursor = now
	return r.ws.root.setDir(ctx, r.st, "cursors", now)
}

// take waits for the next checked entry.
func (r *replayer) take(ctx context.Context) (checkedEntry, error) {
	if r.current == nil || r.used == len(r.current.out) {
		select {
		case r.current = <-r.ordered:
		case <-ctx.Done():
			return checkedEntry{}, ctx.Err()
		}
		if r.current == nil {
			return checkedEntry{}, errors.New("entries ran out before commits")
		}
		r.used = 0
	}
	select {
	case <-r.current.done:
	case <-ctx.Done():
		return checkedEntry{}, ctx.Err()
	}
	e := r.current.out[r.used]
	r.current.out[r.used] = checkedEntry{}
	r.used++
	return e, nil
}

func (e *entry) recordedAt() int64 {
	if e.key != nil {
		return e.key.RecordedAt.Unix()
	}
	return e.change.RecordedAt.Unix()
}

func (e *entry) indexPath() string {
	if e.change == nil {
		return ""
	}
	return commitIndexPath(e.change.Commit)
}
