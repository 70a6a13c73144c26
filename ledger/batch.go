package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxBatchEntries is how many entries of different callers share a push.
const MaxBatchEntries = 200

// ErrInvalidDraft: the draft or cursor can't be recorded as it is; trying again
// won't help.
var ErrInvalidDraft = errors.New("invalid draft")

// Draft is one commit to record. Append fills the change's URI, Number and
// RecordedAt, and Diff from Patch. With an empty Patch the caller's Diff is
// kept, for diffs too large to hold.
type Draft struct {
	Change Change
	Patch  []byte
}

// Batch is published whole or not at all. With no drafts it writes one signed
// commit that touches only cursors/; such a commit is not an entry. Nothing is
// written if nothing is new.
type Batch struct {
	Drafts  []Draft
	Cursors []Cursor
}

// Receipt says where a draft was recorded.
type Receipt struct {
	Entry  string // "CL-7"
	Number int64
	// Commit of the audit repository; "" if the entry existed before and this Log
	// didn't write it.
	Commit string
	Path   string // of the page: "change-log/00/00/CL-7.md"
	// Existing: that commit of that repository was recorded before.
	Existing bool
}

// workspace is the tree that the next commit will have.
type workspace struct {
	root  *dir
	trees treeReader
	// emit stores an object and returns its hash.
	emit func(plumbing.ObjectType, []byte) plumbing.Hash
	// text returns the bytes of a derived file, nil if there is none.
	text func(ctx context.Context, path string) ([]byte, error)
	// wrote, if set, is told each derived file that later ones extend.
	wrote func(path string, data []byte)
}

func (w *workspace) put(ctx context.Context, path string, data []byte) error {
	if err := w.root.put(ctx, w.trees, path, w.emit(plumbing.BlobObject, data)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (w *workspace) putDerived(ctx context.Context, path string, data []byte) error {
	if w.wrote != nil {
		w.wrote(path, data)
	}
	return w.put(ctx, path, data)
}

// putEntry adds an entry's own files and its line in the index by commit. The
// files of CL-0 include keys/.
func (w *workspace) putEntry(ctx context.Context, p *Public, e *entry, files entryBlobs) error {
	base := entryBase(e.number)
	for _, f := range []struct {
		suffix string
		blob   plumbing.Hash
	}{{".json", files.statement}, {".sigstore.json", files.bundle}, {".patch", files.patch}} {
		if f.blob.IsZero() {
			continue
		}
		if err := w.root.put(ctx, w.trees, base+f.suffix, f.blob); err != nil {
			return err
		}
	}
	if files.page.IsZero() {
		files.page = w.emit(plumbing.BlobObject, page(p, e))
	}
	if err := w.root.put(ctx, w.trees, base+".md", files.page); err != nil {
		return err
	}
	if e.key != nil {
		keys, err := p.files()
		if err != nil {
			return err
		}
		for _, path := range sortedKeys(keys) {
			if err := w.put(ctx, path, keys[path]); err != nil {
				return err
			}
		}
		return nil
	}
	path := commitIndexPath(e.change.Commit)
	old, err := w.text(ctx, path)
	if err != nil {
		return err
	}
	line := EntryName(e.number) + " " + e.change.Repository.ID + "\n"
	return w.putDerived(ctx, path, append(bytes.Clone(old), line...))
}

// entryBlobs are the hashes of an entry's files; patch is zero if not stored,
// page if it is still to be made.
type entryBlobs struct{ statement, bundle, patch, page plumbing.Hash }

// putPublished writes what changes once per push: tiles, checkpoint, day pages
// and README.md with the given rows.
func (w *workspace) putPublished(ctx context.Context, p *Public, g *grown, leaves [][]byte, note []byte, entries []*entry, rows []string) error {
	tiles, full, err := g.files(leaves)
	if err != nil {
		return err
	}
	for _, path := range full {
		if err := w.root.removeDir(ctx, w.trees, path); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	for _, path := range sortedKeys(tiles) {
		if err := w.put(ctx, path, tiles[path]); err != nil {
			return err
		}
	}
	if err := w.put(ctx, checkpointPath, note); err != nil {
		return err
	}
	if err := w.putDayPages(ctx, entries); err != nil {
		return err
	}
	front, err := readme(p, rows)
	if err != nil {
		return err
	}
	return w.put(ctx, readmePath, front)
}

func (w *workspace) putDayPages(ctx context.Context, entries []*entry) error {
	keys, added := dayRows(entries)
	for _, k := range keys {
		day, number := k.time(), 1
		for {
			next, err := w.root.blobAt(ctx, w.trees, dayPagePath(k.tenant, day, number+1))
			if err != nil {
				return err
			}
			if next.IsZero() {
				break
			}
			number++
		}
		old, err := w.text(ctx, dayPagePath(k.tenant, day, number))
		if err != nil {
			return err
		}
		rows := append(rowsOf(old), added[k]...)
		for ; ; number++ {
			n := min(len(rows), dayPageRows)
			if err := w.putDerived(ctx, dayPagePath(k.tenant, day, number), dayPage(k.tenant, day, number, rows[:n])); err != nil {
				return err
			}
			if rows = rows[n:]; len(rows) == 0 {
				break
			}
		}
	}
	return nil
}

// tip is the audit repository at one commit: all that the next append needs.
type tip struct {
	hash plumbing.Hash
	tree plumbing.Hash
	when time.Time
	cp   Checkpoint
	note []byte
	edge *edge
	rows []string // of README.md
}

// plan is a batch that is built and signed, but not published.
type plan struct {
	pack    *pack
	next    *tip
	commits []plumbing.Hash // by fresh entry
}

// author builds batches: everything a push holds, from the tip and the keys.
type author struct {
	keys *Keys
	pub  *Public
	git  *GitSigner
	st   *store
	opts Options
}

// build makes the commits for entries (numbered from the tip's size) and cursors.
// Each bundle carries a proof against the batch's own checkpoint, so all leaves
// are made before the first commit.
func (a *author) build(ctx context.Context, t *tip, entries []*entry, patches [][]byte, cursors map[string][]byte, when time.Time) (*plan, error) {
	p := &plan{pack: newPack()}
	w := &workspace{root: dirAt(t.tree), trees: a.st, emit: p.pack.add}
	if t.tree.IsZero() {
		w.root = newDir()
	}
	w.text = func(ctx context.Context, path string) ([]byte, error) { return a.text(ctx, w.root, p.pack, path) }
	next := *t
	p.next = &next
	next.when = when
	if len(entries) == 0 {
		return p, a.commitCursors(ctx, w, p, cursors)
	}
	sigs, leaves := make([][]byte, len(entries)), make([][]byte, len(entries))
	spki := a.pub.spki()
	for i, e := range entries {
		sig, err := signStatement(a.keys.Entry, a.opts.Rand, e.statement)
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", EntryName(e.number), err)
		}
		sigs[i], leaves[i] = sig, leafOf(e.statement, sig, spki)
	}
	g, err := t.edge.grow(leaves)
	if err != nil {
		return nil, err
	}
	root, err := tlog.TreeHash(g.size, g)
	if err != nil {
		return nil, err
	}
	next.edge, next.cp = g.edge, Checkpoint{a.pub.Origin, g.size, root}
	if next.note, err = signCheckpoint(next.cp, a.keys); err != nil {
		return nil, err
	}
	next.rows = newest(t.rows, entries)
	for i, e := range entries {
		if err := a.stage(ctx, w, p, g, e, sigs[i], patches[i]); err != nil {
			return nil, err
		}
		if i == len(entries)-1 {
			if err := w.putPublished(ctx, a.pub, g, leaves, next.note, entries, next.rows); err != nil {
				return nil, err
			}
			if err := putAll(ctx, w, cursors); err != nil {
				return nil, err
			}
		}
		if err := a.commit(w, p, entryMessage(e)); err != nil {
			return nil, err
		}
		p.commits = append(p.commits, next.hash)
	}
	return p, nil
}

// stage writes one entry's evidence into the workspace.
func (a *author) stage(ctx context.Context, w *workspace, p *plan, g *grown, e *entry, sig, patch []byte) error {
	proof, err := tlog.ProveRecord(g.size, e.number, g)
	if err != nil {
		return fmt.Errorf("prove %s: %w", EntryName(e.number), err)
	}
	bundle, err := marshal(newBundle(a.pub, e.statement, sig, e.number, proof, p.next.cp, p.next.note))
	if err != nil {
		return err
	}
	files := entryBlobs{statement: w.emit(plumbing.BlobObject, e.statement), bundle: w.emit(plumbing.BlobObject, bundle)}
	if e.change != nil && e.change.Diff.Stored {
		files.patch = w.emit(plumbing.BlobObject, patch)
	}
	return w.putEntry(ctx, a.pub, e, files)
}

func (a *author) commitCursors(ctx context.Context, w *workspace, p *plan, cursors map[string][]byte) error {
	if err := putAll(ctx, w, cursors); err != nil {
		return err
	}
	return a.commit(w, p, cursorMessage)
}

func putAll(ctx context.Context, w *workspace, files map[string][]byte) error {
	for _, path := range sortedKeys(files) {
		if err := w.put(ctx, path, files[path]); err != nil {
			return err
		}
	}
	return nil
}

// commit signs the workspace as the plan's next commit.
func (a *author) commit(w *workspace, p *plan, message string) error {
	c := &commit{
		tree:    w.root.encode(w.emit),
		parent:  p.next.hash,
		email:   a.pub.Principal(),
		when:    p.next.when,
		message: message,
	}
	if err := c.sign(a.git); err != nil {
		return err
	}
	p.next.tree, p.next.hash = c.tree, p.pack.add(plumbing.CommitObject, c.encode())
	return p.pack.err
}

// text reads a derived file as the workspace has it.
func (a *author) text(ctx context.Context, root *dir, p *pack, path string) ([]byte, error) {
	h, err := root.blobAt(ctx, a.st, path)
	if err != nil || h.IsZero() {
		return nil, err
	}
	if o, err := p.st.EncodedObject(plumbing.BlobObject, h); err == nil {
		return readAll(o, maxTextBytes)
	}
	return a.st.blob(ctx, h, maxTextBytes)
}

// maxTextBytes bounds derived text files: a full day page of long lines.
const maxTextBytes = 1 << 20

// widestNumber is a number as long as any that will be given, to try a draft's
// size with.
const widestNumber = 999_999_999

// described fills in what the patch says, once, before the draft waits. The
// change goes through JSON and back, so that it is what readers will decode:
// invalid UTF-8, for one, is gone.
func described(d Draft) (Draft, error) {
	b, err := json.Marshal(d.Change)
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrInvalidDraft, err)
	}
	var c Change
	if err := json.Unmarshal(b, &c); err != nil {
		return d, fmt.Errorf("%w: %w", ErrInvalidDraft, err)
	}
	if len(d.Patch) > 0 {
		c.Diff = describePatch(d.Patch)
	} else {
		c.Diff.Stored = false
	}
	if c.Repository.Name == "" {
		c.Repository.Name = c.Repository.ID
	}
	c.MergedAt = c.MergedAt.UTC()
	c.SemanticOmitted = 0
	d.Change = c
	return d, nil
}

// newEntry numbers a described draft and makes its Statement.
func newEntry(d Draft, n int64, when time.Time) (*entry, error) {
	c := d.Change
	c.Number, c.URI, c.RecordedAt = n, EntryURI(n), when
	if err := validChange(c); err != nil {
		return nil, err
	}
	_, st, err := changeStatement(c)
	if err != nil {
		return nil, err
	}
	return parseStatement(st)
}

// recorded looks a commit of a repository up in the index.
func recorded(index []byte, repositoryID string) (int64, bool) {
	for line := range strings.Lines(string(index)) {
		name, id, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if id != repositoryID {
			continue
		}
		if n, err := ParseName(name); err == nil {
			return n, true
		}
	}
	return 0, false
}
