package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/sync/errgroup"
)

// TrustedKeys are keys that the verifier got elsewhere than from the repository.
type TrustedKeys struct {
	EntryKey []byte // PEM, P-256; empty: not checked
	LogKey   string // C2SP vkey; "": not checked
}

// VerifyOptions are a verification's surroundings. The zero value is usable.
type VerifyOptions struct {
	// Auth logs in to a remote; nil is anonymous.
	Auth transport.AuthMethod
	// Jobs is how many entries are checked at once; 0: one per processor.
	Jobs int
	// TrustedKeys, if set, must be those of the ledger. Without them the keys that
	// CL-0 introduces are taken at their word, and the report says so.
	TrustedKeys *TrustedKeys
	// Seen is a checkpoint kept from an earlier day: the ledger must extend it.
	// Only this shows a history rewritten with stolen keys.
	Seen []byte
	// Progress, if set, is told the commits verified so far, now and then.
	Progress func(done, total int64)
}

// Problem is the first thing that doesn't hold. Fields that don't apply are "".
type Problem struct {
	Entry   string `json:"entry,omitempty"`
	Commit  string `json:"commit,omitempty"` // of the audit repository
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func (p *Problem) Error() string {
	var where []string
	for _, s := range []string{p.Entry, p.Path} {
		if s != "" {
			where = append(where, s)
		}
	}
	if p.Commit != "" {
		where = append(where, "commit "+p.Commit)
	}
	if len(where) == 0 {
		return p.Message
	}
	return strings.Join(where, ", ") + ": " + p.Message
}

// VerifyReport is what a verification found. Verified is true only if all of the
// ledger was read and all of it holds.
type VerifyReport struct {
	Verified bool  `json:"verified"`
	Entries  int64 `json:"entries"` // verified, CL-0 included
	Commits  int64 `json:"commits"` // verified

	Tip         string `json:"tip,omitempty"`
	Origin      string `json:"origin,omitempty"`
	Checkpoint  string `json:"checkpoint,omitempty"`
	Fingerprint string `json:"entryKeySHA256,omitempty"`
	LogKey      string `json:"logKey,omitempty"`
	// KeysTrusted: the keys were compared with ones given from outside; else they
	// were taken from CL-0 at first use.
	KeysTrusted bool     `json:"keysTrusted"`
	First       *Problem `json:"problem,omitempty"`
}

// Problem is the first problem in words; "" if there is none.
func (r VerifyReport) Problem() string {
	if r.First == nil {
		return ""
	}
	return r.First.Error()
}

// String is the report for a person.
func (r VerifyReport) String() string {
	var b strings.Builder
	if r.Verified {
		fmt.Fprintf(&b, "verified: %d entries in %d commits of %s\n", r.Entries, r.Commits, r.Origin)
		fmt.Fprintln(&b, "every signature, the numbering, evidence, indexes, pages and the Merkle tree hold")
	} else {
		fmt.Fprintf(&b, "NOT verified: %s\n", r.Problem())
		fmt.Fprintf(&b, "%d entries in %d commits before that hold\n", r.Entries, r.Commits)
	}
	if r.LogKey != "" {
		fmt.Fprintf(&b, "entry key SHA-256 %s\nlog key %s\n", r.Fingerprint, r.LogKey)
	}
	if r.Verified && !r.KeysTrusted {
		fmt.Fprintln(&b, "the keys were taken from CL-0: compare them with a copy that did not come from this repository")
	}
	return b.String()
}

// Verify checks a whole ledger: a bare repository, a clone, or a URL, which is
// copied first. The repository is foreign: every object is bounded and its hash
// checked, nothing of it becomes a path on this machine.
//
// It replays the log. From each entry's evidence it makes the pages, indexes and
// tiles again with the writer's own code and compares the tree of each commit
// with the one it must have; so whatever else a commit touched shows, too.
//
// The error says that the ledger could not be read; what is wrong with it is in
// the report.
func Verify(ctx context.Context, remote string, o VerifyOptions) (VerifyReport, error) {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	end, err := newEndpoint(remote, o.Auth)
	if err != nil {
		return VerifyReport{}, err
	}
	src, err := end.openWhole(ctx)
	if err != nil {
		return VerifyReport{}, err
	}
	v := &verifier{opts: o, src: src, st: newStore(src)}
	err = v.run(ctx)
	var p *Problem
	if errors.As(err, &p) {
		v.report.First, err = p, nil
	}
	v.report.Verified = err == nil && p == nil
	return v.report, errors.Join(err, src.close())
}

// verifier is one verification.
type verifier struct {
	opts    VerifyOptions
	src     opener
	st      *store
	report  VerifyReport
	pub     *Public
	signers []signer
	head    plumbing.Hash // tree of the tip
	commits []commitFacts // oldest first
}

// commitFacts is what replaying needs of a commit.
type commitFacts struct {
	hash    plumbing.Hash
	tree    plumbing.Hash
	when    int64
	message string
	problem error // of its signature
}

func (v *verifier) run(ctx context.Context) error {
	tip, err := v.src.tip(ctx)
	if err != nil {
		return err
	}
	if tip.IsZero() {
		return ErrNotInitialized
	}
	v.report.Tip = tip.String()
	if err := v.readKeys(ctx, tip); err != nil {
		return err
	}
	if err := v.readHistory(ctx, tip); err != nil {
		return err
	}
	if err := v.replay(ctx); err != nil {
		return err
	}
	return v.sweep(ctx)
}

// readKeys takes the keys from CL-0 as the tip has it. All signatures, and CL-0's
// own place as leaf 0 in the first commit, are checked with them.
func (v *verifier) readKeys(ctx context.Context, tip plumbing.Hash) error {
	bad := func(path string, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Problem{Entry: EntryName(0), Path: path, Message: err.Error()}
	}
	c, err := v.st.commit(ctx, tip)
	if err != nil {
		return &Problem{Commit: tip.String(), Message: err.Error()}
	}
	v.head = c.tree
	path := entryBase(0) + ".json"
	h, err := dirAt(c.tree).blobAt(ctx, v.st, path)
	if err != nil {
		return bad(path, err)
	}
	b, err := v.st.blob(ctx, h, maxStatementBytes)
	if err != nil {
		return bad(path, err)
	}
	e, err := parseStatement(b)
	if err != nil {
		return bad(path, err)
	}
	if e.key == nil || e.number != 0 {
		return bad(path, errors.New("CL-0 does not introduce keys"))
	}
	if v.pub, err = e.key.public(); err != nil {
		return bad(path, err)
	}
	again, err := v.pub.keyEvent(e.key.RecordedAt)
	if err != nil || string(again) != string(b) {
		return bad(path, errors.Join(err, errors.New("CL-0 does not describe its own keys")))
	}
	v.report.Origin, v.report.Fingerprint, v.report.LogKey = v.pub.Origin, v.pub.Fingerprint(), v.pub.vkey()
	if err := v.compareKeys(); err != nil {
		return bad(path, err)
	}
	v.signers, err = parseAllowedSigners(v.pub.allowedSigners())
	return err
}

func (v *verifier) compareKeys() error {
	t := v.opts.TrustedKeys
	if t == nil {
		return nil
	}
	if len(t.EntryKey) > 0 {
		k, err := ParseEntryKey(t.EntryKey)
		if err != nil {
			return err
		}
		if !k.Equal(v.pub.Entry) {
			return errors.New("the entry key is not the trusted one")
		}
	}
	if t.LogKey != "" && strings.TrimSpace(t.LogKey) != v.pub.vkey() {
		return errors.New("the log key is not the trusted one")
	}
	v.report.KeysTrusted = len(t.EntryKey) > 0 && t.LogKey != ""
	return nil
}

// readHistory follows the one line of parents to the first commit, while other
// goroutines check the signatures.
func (v *verifier) readHistory(ctx context.Context, tip plumbing.Hash) error {
	type job struct {
		c     *commit
		facts *commitFacts
	}
	var list []*commitFacts
	jobs := make(chan job, 4*v.opts.Jobs)
	g, ctx := errgroup.WithContext(ctx)
	for range v.opts.Jobs {
		g.Go(func() error {
			for j := range jobs {
				j.facts.problem = j.c.verify(v.signers)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(jobs)
		for at := tip; !at.IsZero(); {
			c, err := v.st.commit(ctx, at)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, plumbing.ErrObjectNotFound) {
				return &Problem{Commit: at.String(), Message: "the commit is missing: this copy is partial (a shallow clone?), so it can't be verified; run git fetch --unshallow"}
			}
			if err != nil {
				return &Problem{Commit: at.String(), Message: err.Error()}
			}
			f := &commitFacts{hash: at, tree: c.tree, when: c.when.Unix(), message: c.message}
			list = append(list, f)
			jobs <- job{c, f}
			at = c.parent
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	v.commits = make([]commitFacts, len(list))
	for i, f := range list {
		v.commits[len(list)-1-i] = *f
	}
	return nil
}
