package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	lru "github.com/hashicorp/golang-lru/v2"
)

var (
	// ErrDiverged: the audit repository no longer extends what this Log saw of it
	// (rolled back, rewritten or replaced). Nothing is written until a person has
	// looked.
	ErrDiverged = errors.New("the audit repository does not extend what was last seen of it; nothing was written: compare it with a mirror or an old checkpoint before going on")
	// ErrNotInitialized: there is no ledger at the address.
	ErrNotInitialized = errors.New("no ledger there; run conductor ledger init")
	// ErrForeignKeys: the ledger belongs to other keys.
	ErrForeignKeys = errors.New("the ledger was made with other keys")
	// ErrClosed: Append after Close.
	ErrClosed = errors.New("the ledger is closed")
)

// Options are a Log's surroundings. The zero value is usable.
type Options struct {
	// Auth logs in to a remote; nil is anonymous. It is asked for each request, so
	// an http.AuthMethod of one's own may renew a short-lived token.
	Auth transport.AuthMethod
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand feeds signatures; nil means crypto/rand.
	Rand io.Reader
	// Logger gets what an operator acts on; nil discards.
	Logger *slog.Logger
	// Seen is a checkpoint of an earlier run (see Log.Checkpoint): Open refuses a
	// repository that doesn't extend it. nil trusts what is there.
	Seen []byte
	// Interval is the least time between two pushes; entries wait for the next
	// one. 0: as soon as the last push is done. GitHub advises 6 pushes a minute.
	Interval time.Duration
	// PushTimeout bounds one attempt to publish; 0 means 2 minutes.
	PushTimeout time.Duration
	// StaleLock is the age at which a lock on the branch of a local repository
	// was left by a killed process and is removed; 0 means 1 minute.
	StaleLock time.Duration
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PushTimeout == 0 {
		o.PushTimeout = 2 * time.Minute
	}
	if o.StaleLock == 0 {
		o.StaleLock = time.Minute
	}
	return o
}

// Log appends to one audit repository. All methods are safe for concurrent use;
// any number of Logs, in any number of processes, may write to one repository.
type Log struct {
	author
	end *endpoint

	// state guards tip, last, recent and the store; it is held through a push.
	state  chan struct{}
	tip    *tip
	pushed time.Time
	recent *lru.Cache[int64, plumbing.Hash] // entry -> its commit, of our pushes

	mu       sync.Mutex // guards queue, flushing, closed
	queue    []*request
	flushing bool
	closed   bool
	flushers sync.WaitGroup
}

// request is one Append that waits for a push.
type request struct {
	ctx      context.Context
	batch    Batch
	receipts []Receipt
	err      error
	done     chan struct{}
}

// Open reads the ledger's tip: its commit, checkpoint, right-edge tiles and
// front page, and nothing of its history. It fails with ErrNotInitialized,
// ErrForeignKeys, or ErrDiverged if the tip doesn't extend Options.Seen.
func Open(ctx context.Context, remote string, keys *Keys, o Options) (*Log, error) {
	l, err := newLog(ctx, remote, keys, o)
	if err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.st.src.close())
	}
	return l, nil
}

func newLog(ctx context.Context, remote string, keys *Keys, o Options) (*Log, error) {
	if err := keys.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	end, err := newEndpoint(remote, o.Auth)
	if err != nil {
		return nil, err
	}
	src, err := end.open(ctx)
	if err != nil {
		return nil, err
	}
	signer, err := NewGitSigner(keys.Entry, o.Rand)
	if err != nil {
		return nil, err
	}
	recent, err := lru.New[int64, plumbing.Hash](4096)
	if err != nil {
		return nil, err
	}
	return &Log{
		author: author{keys: keys, pub: keys.Public(), git: signer, st: newStore(src), opts: o},
		end:    end,
		state:  make(chan struct{}, 1),
		recent: recent,
	}, nil
}

func (l *Log) start(ctx context.Context) error {
	h, err := l.st.src.tip(ctx)
	if err != nil {
		return err
	}
	if h.IsZero() {
		return ErrNotInitialized
	}
	if l.tip, err = l.load(ctx, h); err != nil {
		return err
	}
	if l.opts.Seen == nil {
		return nil
	}
	seen, err := openCheckpoint(l.opts.Seen, l.pub)
	if err != nil {
		return fmt.Errorf("read the checkpoint seen before: %w", err)
	}
	return l.consistent(ctx, seen, l.tip)
}

// Append records a batch. It returns one receipt per draft, in order, when the
// batch is published: concurrent calls share a push, so a busy ledger is as fast
// as a quiet one. A draft whose commit was recorded before gets the receipt of
// that entry. On ErrInvalidDraft nothing of the batch is written. When ctx ends
// early the batch may still be published; to append it again is harmless.
func (l *Log) Append(ctx context.Context, b Batch) ([]Receipt, error) {
	drafts := make([]Draft, len(b.Drafts))
	for i, d := range b.Drafts {
		var err error
		if drafts[i], err = described(d); err != nil {
			return nil, err
		}
		if _, err = newEntry(drafts[i], widestNumber, time.Time{}); err != nil {
			return nil, err
		}
	}
	b.Drafts = drafts
	for _, c := range b.Cursors {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	r := &request{ctx: ctx, batch: b, done: make(chan struct{})}
	if err := l.enqueue(r); err != nil {
		return nil, err
	}
	select {
	case <-r.done:
		return r.receipts, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *Log) enqueue(r *request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.queue = append(l.queue, r)
	if !l.flushing {
		l.flushing = true
		l.flushers.Add(1)
		go l.flush()
	}
	return nil
}

// flush publishes the queue, a push at a time, until it is empty.
func (l *Log) flush() {
	defer l.flushers.Done()
	for {
		l.waitInterval()
		group := l.take()
		if group == nil {
			return
		}
		l.state <- struct{}{}
		err := l.publish(context.Background(), group)
		<-l.state
		for _, r := range group {
			if err != nil {
				r.receipts, r.err = nil, err
			}
			close(r.done)
		}
	}
}

func (l *Log) waitInterval() {
	if l.opts.Interval > 0 && !l.pushed.IsZero() {
		time.Sleep(time.Until(l.pushed.Add(l.opts.Interval)))
	}
}

// take removes requests for one push from the queue; nil ends the flusher.
func (l *Log) take() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var group []*request
	n := 0
	for len(l.queue) > 0 {
		r := l.queue[0]
		if r.ctx.Err() != nil {
			l.queue, r.err = l.queue[1:], r.ctx.Err()
			close(r.done)
			continue
		}
		if len(group) > 0 && n+len(r.batch.Drafts) > MaxBatchEntries {
			break
		}
		l.queue, group, n = l.queue[1:], append(group, r), n+len(r.batch.Drafts)
	}
	if len(group) == 0 {
		l.flushing = false
		return nil
	}
	return group
}

// Cursor returns how far a branch was examined, as the repository says now.
func (l *Log) Cursor(ctx context.Context, repositoryID, branch string) (Cursor, bool, error) {
	if !repoIDPattern.MatchString(repositoryID) {
		return Cursor{}, false, fmt.Errorf("%w: repository id %q", ErrInvalidDraft, clip(repositoryID, 80))
	}
	if err := l.lock(ctx); err != nil {
		return Cursor{}, false, err
	}
	defer l.unlock()
	h, err := l.st.src.tip(ctx)
	if err != nil {
		return Cursor{}, false, err
	}
	if _, err := l.advance(ctx, h); err != nil {
		return Cursor{}, false, err
	}
	f, err := l.cursors(ctx, dirAt(l.tip.tree), repositoryID)
	if err != nil {
		return Cursor{}, false, err
	}
	i, ok := f.find(branch)
	if !ok {
		return Cursor{}, false, nil
	}
	return Cursor{f.Repository, branch, f.Branches[i].Since, f.Branches[i].Through}, true, nil
}

// cursors reads a repository's cursor file, an empty one if there is none.
func (l *Log) cursors(ctx context.Context, root *dir, repositoryID string) (*cursorFile, error) {
	h, err := root.blobAt(ctx, l.st, cursorPath(repositoryID))
	if err != nil || h.IsZero() {
		return &cursorFile{}, err
	}
	b, err := l.st.blob(ctx, h, maxCursorBytes)
	if err != nil {
		return nil, err
	}
	return parseCursors(b, repositoryID)
}

func (l *Log) lock(ctx context.Context) error {
	select {
	case l.state <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) unlock() { <-l.state }

// Size is the number of entries at the tip last seen, CL-0 included.
func (l *Log) Size() int64 {
	l.state <- struct{}{}
	defer l.unlock()
	return l.tip.cp.Size
}

// Checkpoint is the signed checkpoint last seen. Give it to Options.Seen of the
// next run, and to anybody who will keep it.
func (l *Log) Checkpoint() []byte {
	l.state <- struct{}{}
	defer l.unlock()
	return bytes.Clone(l.tip.note)
}

// Close waits for what was handed to Append and refuses more.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.flushers.Wait()
	return l.st.src.close()
}
