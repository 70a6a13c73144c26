package hub

import (
	"maps"
	"slices"
	"strings"
)

// maxPushCommits is how many commits GitHub lists in a push event.
const maxPushCommits = 2048

// pushed takes note of refs that moved by a push or an API call: it sends the
// events and brings pull requests up to date. Hub.mu and r.gitMu are held.
func (h *Hub) pushed(r *repo, who *account, before, after map[string]string) {
	names := map[string]bool{}
	tags := 0
	for ref, sha := range after {
		if before[ref] != sha {
			names[ref] = true
		}
	}
	for ref := range before {
		if after[ref] == "" {
			names[ref] = true
		}
	}
	for ref := range names {
		if strings.HasPrefix(ref, "refs/tags/") {
			tags++
		}
	}
	if len(names) > 0 {
		r.pushed = h.now()
	}
	for _, ref := range slices.Sorted(maps.Keys(names)) {
		old, now := or(before[ref], zeroSHA), or(after[ref], zeroSHA)
		if tags <= 3 || !strings.HasPrefix(ref, "refs/tags/") { // GitHub sends nothing for more than three tags at once
			h.emitPush(r, who, ref, old, now, before)
		}
		if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			h.branchMoved(r, who, branch, old, now)
		}
	}
}

// moved is pushed for one ref.
func (h *Hub) moved(r *repo, who *account, ref, old, now string) {
	before, err := h.refs(r)
	if err != nil {
		h.log.Error("list refs", "repo", r.full(), "err", err)
		return
	}
	after := maps.Clone(before)
	before[ref], after[ref] = old, now
	if old == zeroSHA {
		delete(before, ref)
	}
	if now == zeroSHA {
		delete(after, ref)
	}
	h.pushed(r, who, before, after)
}

// branchMoved makes check suites for the new tip, synchronizes the pull requests
// from this branch, and closes those into it that the push merged.
func (h *Hub) branchMoved(r *repo, who *account, branch, old, now string) {
	if now != zeroSHA {
		for _, in := range sorted(h.installs) {
			if in.covers(r) && levels[in.permissions["checks"]] >= levels["write"] && in.suspended == nil {
				h.suiteFor(r, in.app, now, branch)
			}
		}
	}
	for _, base := range sorted(h.repos) {
		for _, p := range base.open() {
			switch {
			case p.head == r && p.headRef == branch && now == zeroSHA:
				h.closePull(p, who)
			case p.head == r && p.headRef == branch && p.headSHA != now:
				h.synchronize(p, who, now)
			case base == r && p.baseRef == branch && now != zeroSHA:
				h.mergedByPush(p, who, old, now)
			}
		}
	}
}

// synchronize moves a pull request to a new head.
func (h *Hub) synchronize(p *pull, who *account, head string) {
	before := p.headSHA
	if err := h.takeHead(p, head); err != nil {
		h.log.Error("take a pull request's head", "repo", p.repo.full(), "number", p.number, "err", err)
		return
	}
	p.headSHA, p.updated = head, h.now()
	if p.headSHA == p.baseTip(h) {
		h.closePull(p, who) // nothing is left to merge
		return
	}
	h.emitPull(p, who, "synchronize", obj{"before": before, "after": head})
}

// takeHead brings the head's objects into the base repository, as refs/pull/N/head.
func (h *Hub) takeHead(p *pull, head string) error {
	ref := p.ref("head")
	if p.head != p.repo {
		if _, err := h.git(p.repo, "fetch", "--quiet", "--no-tags", p.head.dir, head); err != nil {
			return err
		}
	}
	_, err := h.git(p.repo, "update-ref", ref, head)
	return err
}

// mergedByPush marks a pull request as merged when its head came into the base
// branch by a push.
func (h *Hub) mergedByPush(p *pull, who *account, old, now string) {
	if _, err := h.git(p.repo, "merge-base", "--is-ancestor", p.headSHA, now); err != nil {
		return
	}
	rng := now
	if old != zeroSHA {
		rng = old + ".." + now
	}
	sha := now
	out, err := h.git(p.repo, "rev-list", "--first-parent", "--ancestry-path="+p.headSHA, rng)
	if steps := strings.Fields(out); err == nil && len(steps) > 0 {
		sha = steps[len(steps)-1]
		if slices.Contains(steps, p.headSHA) {
			sha = p.headSHA
		}
	}
	if old != zeroSHA {
		p.baseSHA = old
	}
	h.finishMerge(p, who, sha, []string{sha})
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
