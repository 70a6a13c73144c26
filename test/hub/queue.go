package hub

import (
	"errors"
	"fmt"
	"strings"
)

// mergeGroup is a pull request that waits in a merge queue for its checks.
type mergeGroup struct {
	pull *pull
	who  *account
	ref  string
	base string
	sha  string
}

// Queue puts a pull request into the merge queue, as a user does with a button: it
// makes the queue's branch with the merge and asks for checks on it. It returns the
// commit that the checks belong on.
func (h *Hub) Queue(fullName string, number int, user string) (string, error) {
	r, who, err := h.queueParties(fullName, user)
	if err != nil {
		return "", err
	}
	r.gitMu.Lock()
	defer r.gitMu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	p := r.pulls[number]
	if p == nil || p.closed != nil || p.draft || !who.mayWrite(r) {
		return "", fmt.Errorf("queue pull request %d of %s: it isn't open and ready, or %s may not write", number, fullName, user)
	}
	base := p.baseTip(h)
	landed, err := h.mergeBy(p, who, "merge", base, "", "")
	if err != nil {
		return "", fmt.Errorf("queue pull request %d of %s: %w", number, fullName, err)
	}
	g := &mergeGroup{pull: p, who: who, base: base, sha: landed[0],
		ref: fmt.Sprintf("refs/heads/gh-readonly-queue/%s/pr-%d-%s", p.baseRef, number, base)}
	if err := h.setRef(r, g.ref, zeroSHA, g.sha); err != nil {
		return "", fmt.Errorf("queue pull request %d of %s: it is queued: %w", number, fullName, err)
	}
	if r.groups == nil {
		r.groups = map[string]*mergeGroup{}
	}
	r.groups[g.sha] = g
	h.moved(r, who, g.ref, zeroSHA, g.sha)
	h.emitPull(p, who, "enqueued", nil)
	h.emitGroup(g, "checks_requested", "")
	return g.sha, nil
}

// FinishQueue ends a merge group: merged brings its commit to the base branch, if that
// hasn't moved; otherwise the group is dropped. Its branch goes away either way.
func (h *Hub) FinishQueue(fullName, sha string, merged bool) error {
	r, _, err := h.queueParties(fullName, "")
	if err != nil {
		return err
	}
	r.gitMu.Lock()
	defer r.gitMu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	g := r.groups[sha]
	if g == nil {
		return fmt.Errorf("finish merge group %s of %s: no such group", sha, fullName)
	}
	delete(r.groups, sha)
	p, base := g.pull, "refs/heads/"+g.pull.baseRef
	reason := "invalidated"
	if merged {
		err = h.setRef(r, base, g.base, g.sha)
	}
	if merged && err == nil {
		reason, p.baseSHA = "merged", g.base
		h.finishMerge(p, g.who, g.sha, []string{g.sha})
		h.moved(r, g.who, base, g.base, g.sha)
	}
	h.emitGroup(g, "destroyed", reason)
	if reason != "merged" {
		h.emitPull(p, g.who, "dequeued", obj{"reason": "CI_FAILURE"})
	}
	err = errors.Join(err, h.setRef(r, g.ref, g.sha, zeroSHA))
	h.moved(r, g.who, g.ref, g.sha, zeroSHA)
	return err
}

func (h *Hub) queueParties(fullName, user string) (*repo, *account, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, who := h.names[strings.ToLower(fullName)], h.accounts[strings.ToLower(user)]
	if r == nil || user != "" && who == nil {
		return nil, nil, fmt.Errorf("merge queue of %s: no such repository or user %q", fullName, user)
	}
	return r, who, nil
}

func (h *Hub) emitGroup(g *mergeGroup, action, reason string) {
	out := obj{"merge_group": obj{"head_sha": g.sha, "head_ref": g.ref, "base_sha": g.base, "base_ref": "refs/heads/" + g.pull.baseRef, "head_commit": nil}}
	if k, err := h.commits(g.pull.repo, false, "-1", g.sha); err == nil && len(k) == 1 {
		out["merge_group"].(obj)["head_commit"] = simpleCommit(k[0])
	}
	if reason != "" {
		out["reason"] = reason
	}
	h.emit(g.pull.repo, g.who, "merge_group", action, out, nil)
}
