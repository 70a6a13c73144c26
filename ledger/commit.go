package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxCommitBytes bounds a commit object: a few headers, a signature, a short
// message without user text.
const maxCommitBytes = 16 << 10

const committerName = "Conductor"

// commit is a commit object of the audit repository. Author and committer are
// always the same, in UTC.
type commit struct {
	tree      plumbing.Hash
	parent    plumbing.Hash // zero in the first commit
	email     string
	when      time.Time
	signature []byte // armored, "" before signing
	message   string
}

// encode writes the object, with the gpgsig header if there is a signature.
func (c *commit) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tree %s\n", c.tree)
	if !c.parent.IsZero() {
		fmt.Fprintf(&b, "parent %s\n", c.parent)
	}
	who := fmt.Sprintf("%s <%s> %d +0000", committerName, c.email, c.when.Unix())
	fmt.Fprintf(&b, "author %s\ncommitter %s\n", who, who)
	if len(c.signature) > 0 {
		sig := strings.TrimSuffix(string(c.signature), "\n")
		fmt.Fprintf(&b, "gpgsig %s\n", strings.ReplaceAll(sig, "\n", "\n "))
	}
	b.WriteByte('\n')
	b.WriteString(c.message)
	return b.Bytes()
}

// sign fills in the signature.
func (c *commit) sign(g *GitSigner) error {
	c.signature = nil
	sig, err := g.Sign(bytes.NewReader(c.encode()))
	if err != nil {
		return err
	}
	c.signature = sig
	return nil
}

// parseCommit reads a commit that encode wrote; anything else (several parents,
// other headers, another committer's name) is refused with the reason.
func parseCommit(raw []byte) (*commit, error) {
	if len(raw) > maxCommitBytes {
		return nil, fmt.Errorf("commit of %d bytes; at most %d are allowed", len(raw), maxCommitBytes)
	}
	head, message, ok := strings.Cut(string(raw), "\n\n")
	if !ok {
		return nil, errors.New("commit without a message")
	}
	c := &commit{message: message}
	var author, committer string
	parents := 0
	lines := strings.Split(head, "\n")
	for i := 0; i < len(lines); i++ {
		key, value, _ := strings.Cut(lines[i], " ")
		switch key {
		case "tree":
			c.tree = plumbing.NewHash(value)
		case "parent":
			c.parent = plumbing.NewHash(value)
			parents++
		case "author":
			author = value
		case "committer":
			committer = value
		case "gpgsig":
			var sig strings.Builder
			sig.WriteString(value + "\n")
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
				i++
				sig.WriteString(lines[i][1:] + "\n")
			}
			c.signature = []byte(sig.String())
		default:
			return nil, fmt.Errorf("commit has an unexpected header %q", clip(key, 40))
		}
	}
	switch {
	case parents > 1:
		return nil, fmt.Errorf("commit has %d parents; the history of a ledger is one line", parents)
	case author != committer:
		return nil, errors.New("author and committer of the commit differ")
	case len(c.signature) == 0:
		return nil, errors.New("commit is not signed")
	}
	if err := c.parseWho(committer); err != nil {
		return nil, err
	}
	if !bytes.Equal(c.encode(), raw) {
		return nil, errors.New("commit is not in the form that a ledger writes")
	}
	return c, nil
}

func (c *commit) parseWho(who string) error {
	name, rest, _ := strings.Cut(who, " <")
	email, rest, ok := strings.Cut(rest, "> ")
	stamp, zone, _ := strings.Cut(rest, " ")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || name != committerName || zone != "+0000" || err != nil || seconds < 0 || seconds > 1<<40 {
		return fmt.Errorf("committer %q is not that of a ledger", clip(who, 120))
	}
	c.email, c.when = email, time.Unix(seconds, 0).UTC()
	return nil
}

// verify checks the commit's SSH signature against the allowed signers.
func (c *commit) verify(signers []signer) error {
	unsigned := *c
	unsigned.signature = nil
	key, err := verifySSHSig(unsigned.encode(), c.signature)
	if err != nil {
		return err
	}
	return allowed(signers, key, c.email, c.when)
}

const cursorMessage = "Move cursors\n"

// entryMessage is the message of an entry's commit. It holds no text of a user:
// a forge acts on mentions and closing keywords in commit messages.
func entryMessage(e *entry) string {
	if e.key != nil {
		return fmt.Sprintf("%s: keys, %s\n\nLedger-Entry: %s\n", EntryName(e.number), e.key.Event, EntryURI(e.number))
	}
	c := e.change
	return fmt.Sprintf("%s: %s of repository %s\n\nLedger-Entry: %s\nRecorded-Commit: %s\n",
		EntryName(e.number), c.Commit[:12], c.Repository.ID, EntryURI(e.number), c.Commit)
}
