package hub

import (
	"slices"
)

// suiteFor finds or makes the check suite of an App on a commit. Every push makes
// one for each App that may write checks; branch is "" where it isn't by a push.
func (h *Hub) suiteFor(r *repo, a *app, sha, branch string) *checkSuite {
	for _, s := range h.suites {
		if s.repo == r && s.app == a && s.sha == sha {
			return s
		}
	}
	push := branch != ""
	if !push {
		branch = h.branchAt(r, sha)
	}
	s := &checkSuite{id: h.nextID(), repo: r, app: a, sha: sha, branch: branch, created: h.now(), updated: h.now()}
	h.suites[s.id] = s
	if push {
		h.emitSuite(s, "requested", nil)
	}
	return s
}

// branchAt names a branch with that tip, or "".
func (h *Hub) branchAt(r *repo, sha string) string {
	out, err := h.git(r, "for-each-ref", "--count=1", "--format=%(refname:lstrip=2)", "--points-at="+sha, "refs/heads")
	if err != nil {
		return ""
	}
	return out
}

// state sums the latest runs up: the status is that of the least advanced, the
// conclusion the worst.
func (s *checkSuite) state() (status, conclusion string) {
	latest := map[string]*checkRun{}
	for _, r := range s.runs {
		latest[r.name] = r
	}
	if len(latest) == 0 {
		return "queued", ""
	}
	order := []string{"success", "skipped", "neutral", "cancelled", "timed_out", "action_required", "failure"}
	worst := -1
	for _, r := range latest {
		if r.status != "completed" {
			return r.status, ""
		}
		worst = max(worst, slices.Index(order, r.conclusion))
	}
	if worst < 0 {
		return "completed", ""
	}
	return "completed", order[worst]
}

func (c *call) suite() *checkSuite {
	if s := c.hub.suites[c.id("check_suite_id")]; s != nil && s.repo == c.repo {
		return s
	}
	return nil
}

func (h *Hub) createSuite(c *call) *reply {
	if c.actor.app == nil {
		return fail(403, "You must authenticate via a GitHub App.")
	}
	var in struct {
		HeadSHA string `json:"head_sha"`
	}
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	sha, found := h.resolve(c.repo, in.HeadSHA)
	if !found || sha != in.HeadSHA {
		return fail(422, "No commit found for SHA: "+in.HeadSHA)
	}
	for _, s := range h.suites {
		if s.repo == c.repo && s.app == c.actor.app && s.sha == sha {
			return ok(h.suiteJSON(s))
		}
	}
	return created(h.suiteJSON(h.suiteFor(c.repo, c.actor.app, sha, "")))
}

func (h *Hub) getSuite(c *call) *reply {
	s := c.suite()
	if s == nil {
		return notFound()
	}
	return ok(h.suiteJSON(s))
}

func (h *Hub) runsForSuite(c *call) *reply {
	s := c.suite()
	if s == nil {
		return notFound()
	}
	return h.pageRuns(c, slices.Clone(s.runs))
}

func (h *Hub) rerequestSuite(c *call) *reply {
	s := c.suite()
	if s == nil {
		return notFound()
	}
	if c.actor.app != nil && c.actor.app != s.app {
		return fail(403, "Resource not accessible by integration")
	}
	h.emitSuite(s, "rerequested", h.accountOf(c.actor))
	return created(obj{})
}

func (h *Hub) suitesForRef(c *call) *reply {
	sha, found := h.resolve(c.repo, c.params["ref"])
	if !found {
		return fail(422, "No commit found for SHA: "+c.params["ref"])
	}
	q := c.r.URL.Query()
	var all []any
	for _, s := range sorted(h.suites) {
		if s.repo == c.repo && s.sha == sha && (q.Get("app_id") == "" || q.Get("app_id") == itoa(s.app.ID)) {
			all = append(all, h.suiteJSON(s))
		}
	}
	out := c.page(all)
	out.body = obj{"total_count": len(all), "check_suites": out.body}
	return out
}

func (h *Hub) suiteJSON(s *checkSuite) obj {
	url := h.repoURL(s.repo) + "/check-suites/" + itoa(s.id)
	status, conclusion := s.state()
	names := map[string]bool{}
	for _, r := range s.runs {
		names[r.name] = true
	}
	out := obj{
		"id": s.id, "node_id": nodeID("CS", s.id), "head_branch": nil, "head_sha": s.sha, "status": status, "conclusion": nil,
		"url": url, "before": nil, "after": s.sha, "pull_requests": h.pullRefs(s.repo, s.sha),
		"created_at": stamp(s.created), "updated_at": stamp(s.updated), "app": h.integrationJSON(s.app),
		"repository": h.repoJSON(s.repo), "latest_check_runs_count": len(names), "check_runs_url": url + "/check-runs",
		"rerequestable": true, "runs_rerequestable": true, "head_commit": nil,
	}
	if s.branch != "" {
		out["head_branch"] = s.branch
	}
	if conclusion != "" {
		out["conclusion"] = conclusion
	}
	if k, err := h.commitAt(s.repo, s.sha); err == nil {
		out["head_commit"] = simpleCommit(k)
	}
	return out
}
