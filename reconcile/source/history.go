package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Commit is what git says of a commit.
type Commit struct {
	SHA       CommitSHA
	Tree      string
	Parents   []CommitSHA
	Subject   string // first line of Message
	Message   string
	Author    Signature
	Committer Signature
}

// Signature is who and when, as written in the commit: a claim, not a proof.
type Signature struct {
	Name, Email string
	When        time.Time
}

// Commit reads one commit of the mirror.
func (m *Mirror) Commit(sha CommitSHA) (Commit, error) {
	c, err := m.commit(sha)
	if err != nil {
		return Commit{}, err
	}
	return describe(c), nil
}

func describe(c *object.Commit) Commit {
	parents := make([]CommitSHA, len(c.ParentHashes))
	for i, p := range c.ParentHashes {
		parents[i] = CommitSHA(p.String())
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return Commit{
		SHA: CommitSHA(c.Hash.String()), Tree: c.TreeHash.String(), Parents: parents,
		Subject: subject, Message: c.Message,
		Author:    Signature{c.Author.Name, c.Author.Email, c.Author.When},
		Committer: Signature{c.Committer.Name, c.Committer.Email, c.Committer.When},
	}
}

// Walk is the part of a branch's first-parent history that FirstParents found.
type Walk struct {
	// Commits run from the oldest to the tip.
	Commits []Commit
	// Rewritten is true when the walk reached a root without meeting the commit
	// that it should have ended at: the branch was force-pushed since. Commits
	// then start after Fork, the newest commit that both histories share on
	// their first-parent lines ("" if none).
	Rewritten bool
	Fork      CommitSHA
	// Dropped are the commits of the old line after Fork, oldest first.
	Dropped []CommitSHA
}

// FirstParents walks from tip back to after (exclusive) by first parents. An empty
// after walks to the root.
func (m *Mirror) FirstParents(ctx context.Context, after, tip CommitSHA) (Walk, error) {
	line, met, err := m.line(ctx, tip, func(sha CommitSHA) bool { return sha == after })
	if err != nil || after == "" || met {
		return Walk{Commits: reversed(line)}, err
	}
	return m.rewritten(ctx, after, line)
}

func (m *Mirror) rewritten(ctx context.Context, after CommitSHA, line []Commit) (Walk, error) {
	position := make(map[CommitSHA]int, len(line))
	for i, c := range line {
		position[c.SHA] = i
	}
	walk := Walk{Rewritten: true, Commits: reversed(line)}
	old, met, err := m.line(ctx, after, func(sha CommitSHA) bool { _, shared := position[sha]; return shared })
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return walk, nil // the old line was collected: all that is known is that it is gone
	}
	if err != nil {
		return Walk{}, err
	}
	for _, c := range reversed(old) {
		walk.Dropped = append(walk.Dropped, c.SHA)
	}
	if met {
		fork := after
		if len(old) > 0 {
			fork = old[len(old)-1].Parents[0]
		}
		walk.Fork = fork
		walk.Commits = reversed(line[:position[fork]])
	}
	return walk, nil
}

// line lists commits by first parents from tip, newest first, until stop says so
// (that commit is left out; met is true) or a root was listed.
func (m *Mirror) line(ctx context.Context, tip CommitSHA, stop func(CommitSHA) bool) (list []Commit, met bool, err error) {
	for sha := tip; ; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if stop(sha) {
			return list, true, nil
		}
		c, err := m.Commit(sha)
		if err != nil {
			return nil, false, err
		}
		list = append(list, c)
		if len(c.Parents) == 0 {
			return list, false, nil
		}
		sha = c.Parents[0]
	}
}

func reversed(list []Commit) []Commit {
	out := make([]Commit, 0, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		out = append(out, list[i])
	}
	return out
}

// MergeBase is the commit that a pull request started from: the best common
// ancestor of base and head. Histories without one give "" and no error.
func (m *Mirror) MergeBase(base, head CommitSHA) (CommitSHA, error) {
	if base == head {
		return base, nil
	}
	b, err := m.commit(base)
	if err != nil {
		return "", err
	}
	h, err := m.commit(head)
	if err != nil {
		return "", err
	}
	found, err := b.MergeBase(h)
	if err != nil {
		return "", fmt.Errorf("merge base of %s and %s: %w", base.Short(), head.Short(), err)
	}
	if len(found) == 0 {
		return "", nil
	}
	return CommitSHA(found[0].Hash.String()), nil
}

// RootCommit is the oldest commit of the first-parent line: it names a repository
// that no forge has numbered.
func (m *Mirror) RootCommit(ctx context.Context, tip CommitSHA) (CommitSHA, error) {
	line, _, err := m.line(ctx, tip, func(CommitSHA) bool { return false })
	if err != nil {
		return "", err
	}
	return line[len(line)-1].SHA, nil
}
