package hub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var errConflict = errors.New("merge conflict")

// tryMerge computes what merging would give, and keeps refs/pull/N/merge. Hub.mu is
// held. It only writes below refs/pull, so gitMu isn't needed.
func (h *Hub) tryMerge(p *pull) {
	base := p.baseTip(h)
	if base == "" || p.test.base == base && p.test.head == p.headSHA {
		return
	}
	t := testMerge{base: base, head: p.headSHA}
	out, err := h.git(p.repo, "rev-list", "--count", base+".."+p.headSHA)
	if err != nil {
		h.log.Error("count a pull request's commits", "repo", p.repo.full(), "number", p.number, "err", err)
		return
	}
	t.commits, _ = strconv.Atoi(out)
	out, _ = h.git(p.repo, "diff", "--shortstat", base+"..."+p.headSHA) // unrelated histories have none
	for part := range strings.SplitSeq(out, ",") {
		n, what, _ := strings.Cut(strings.TrimSpace(part), " ")
		v, _ := strconv.Atoi(n)
		switch {
		case strings.HasPrefix(what, "file"):
			t.files = v
		case strings.HasPrefix(what, "insertion"):
			t.additions = v
		case strings.HasPrefix(what, "deletion"):
			t.deletions = v
		}
	}
	if p.closed == nil {
		h.writeTestMerge(p, &t)
	}
	p.test = t
}

func (h *Hub) writeTestMerge(p *pull, t *testMerge) {
	tree, err := h.mergeTree(p.repo, t.base, t.head)
	if err == nil {
		who := person{"GitHub", "noreply@github.com", h.now()}
		t.sha, err = h.commitTree(p.repo, tree, fmt.Sprintf("Merge %s into %s\n", t.head, t.base),
			person{p.user.login, p.user.email, h.now()}, who, t.base, t.head)
	}
	if err == nil {
		_, err = h.git(p.repo, "update-ref", p.ref("merge"), t.sha)
	}
	t.mergeable = err == nil
	if err != nil {
		t.sha = ""
		_, _ = h.git(p.repo, "update-ref", "-d", p.ref("merge")) // may not exist
	}
}

// mergeTree merges two commits and returns the tree.
func (h *Hub) mergeTree(r *repo, base, head string) (string, error) {
	out, err := h.git(r, "merge-tree", "--write-tree", "--no-messages", base, head)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errConflict, err)
	}
	return strings.TrimSpace(out), nil
}

func (h *Hub) isMerged(c *call) *reply {
	if p := c.pull(); p == nil || p.merged == nil {
		return notFound()
	}
	return &reply{status: 204}
}

// mergePull answers PUT merge. c.repo.gitMu is held.
func (h *Hub) mergePull(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	var in struct {
		Title   string `json:"commit_title"`
		Message string `json:"commit_message"`
		SHA     string `json:"sha"`
		Method  string `json:"merge_method"`
	}
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	in.Method = or(in.Method, "merge")
	switch {
	case !slices.Contains([]string{"merge", "squash", "rebase"}, in.Method):
		return invalid("PullRequest", "merge_method", "invalid", "")
	case p.closed != nil:
		return fail(405, "Pull Request is not mergeable")
	case p.draft:
		return fail(405, "Pull Request is still a draft")
	case in.SHA != "" && in.SHA != p.headSHA:
		return fail(409, "Head branch was modified. Review and try the merge again.")
	}
	base, ok1 := h.branch(p.repo, p.baseRef)
	if !ok1 {
		return fail(405, "Pull Request is not mergeable")
	}
	who := h.accountOf(c.actor)
	landed, err := h.mergeBy(p, who, in.Method, base, in.Title, in.Message)
	if err != nil {
		return fail(405, "Pull Request is not mergeable")
	}
	sha := landed[len(landed)-1]
	ref := "refs/heads/" + p.baseRef
	if err := h.setRef(p.repo, ref, base, sha); err != nil {
		return fail(409, "Base branch was modified. Review and try the merge again.")
	}
	p.baseSHA = base
	h.finishMerge(p, who, sha, landed)
	h.moved(p.repo, who, ref, base, sha)
	return ok(obj{"sha": sha, "merged": true, "message": "Pull Request successfully merged"})
}

// mergeBy makes the commits of a merge method and returns them, oldest first.
func (h *Hub) mergeBy(p *pull, who *account, method, base, title, message string) ([]string, error) {
	h.tryMerge(p)
	github := person{"GitHub", "noreply@github.com", h.now()}
	switch method {
	case "rebase":
		return h.rebase(p, who, base)
	case "squash":
		tree, err := h.mergeTree(p.repo, base, p.headSHA)
		if err != nil {
			return nil, err
		}
		t, m, err := h.squashMessage(p, base)
		if err != nil {
			return nil, err
		}
		sha, err := h.commitTree(p.repo, tree, text(or(title, t), or(message, m)), person{p.user.login, p.user.email, h.now()}, github, base)
		return []string{sha}, err
	}
	tree, err := h.mergeTree(p.repo, base, p.headSHA)
	if err != nil {
		return nil, err
	}
	title = or(title, fmt.Sprintf("Merge pull request #%d from %s/%s", p.number, p.head.owner.login, p.headRef))
	sha, err := h.commitTree(p.repo, tree, text(title, or(message, p.title)), person{who.login, who.email, h.now()}, github, base, p.headSHA)
	return []string{sha}, err
}

func text(title, message string) string {
	if strings.TrimSpace(message) == "" {
		return title + "\n"
	}
	return title + "\n\n" + strings.TrimRight(message, "\n") + "\n"
}

// squashMessage is GitHub's default: the commit's own text for one commit, else the
// pull request's title and the list of commits.
func (h *Hub) squashMessage(p *pull, base string) (title, message string, err error) {
	commits, err := h.commits(p.repo, false, "--reverse", base+".."+p.headSHA)
	if err != nil {
		return "", "", err
	}
	number := fmt.Sprintf(" (#%d)", p.number)
	if len(commits) == 1 {
		title, message, _ = strings.Cut(commits[0].message, "\n")
		return title + number, strings.TrimLeft(message, "\n"), nil
	}
	var b strings.Builder
	for _, k := range commits {
		fmt.Fprintf(&b, "* %s\n\n", strings.TrimSpace(k.message))
	}
	return p.title + number, b.String(), nil
}

// rebase replays the head's commits on the base in a temporary worktree. GitHub
// always writes new commits, also where a fast-forward would do.
func (h *Hub) rebase(p *pull, who *account, base string) ([]string, error) {
	tmp, err := os.MkdirTemp(filepath.Join(h.dir, "spool"), "rebase-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	tree := filepath.Join(tmp, "tree")
	if _, err := h.git(p.repo, "worktree", "add", "--quiet", "--detach", tree, p.headSHA); err != nil {
		return nil, err
	}
	defer func() {
		_ = os.RemoveAll(tree)
		_, _ = h.git(p.repo, "worktree", "prune") // a leftover entry does no harm
	}()
	env := person{who.login, who.email, h.now()}.env("COMMITTER")
	if _, err := h.run(tree, nil, env, "rebase", "--quiet", "--no-ff", "--no-gpg-sign", base); err != nil {
		return nil, fmt.Errorf("%w: %w", errConflict, err)
	}
	out, err := h.run(tree, nil, nil, "rev-list", "--reverse", base+"..HEAD")
	landed := strings.Fields(string(out))
	if err == nil && len(landed) == 0 {
		err = errors.New("nothing to rebase")
	}
	return landed, err
}

// finishMerge marks a pull request as merged.
func (h *Hub) finishMerge(p *pull, who *account, sha string, landed []string) {
	if p.baseSHA == "" {
		p.baseSHA = p.baseTip(h)
	}
	h.tryMerge(p)
	if own, err := h.git(p.repo, "rev-list", p.baseSHA+".."+p.headSHA); err == nil {
		p.own = strings.Fields(own)
	}
	now := h.now()
	p.merged, p.closed, p.updated, p.mergedBy = &now, &now, now, who
	p.mergeSHA, p.landed = sha, landed
	h.emitPull(p, who, "closed", nil)
}
