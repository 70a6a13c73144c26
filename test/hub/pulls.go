package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// maxText is GitHub's bound on bodies of comments and pull requests, in characters.
const maxText = 65536

type pull struct {
	id       int64
	number   int
	repo     *repo // the base's
	title    string
	body     string
	user     *account
	draft    bool
	closed   *time.Time
	created  time.Time
	updated  time.Time
	baseRef  string
	baseSHA  string // of the base branch when the pull request was closed; "" while open
	head     *repo
	headRef  string
	headSHA  string
	merged   *time.Time
	mergedBy *account
	mergeSHA string   // of the result once merged
	landed   []string // every commit that the merge put on the base branch
	own      []string // the head's commits when it was merged
	comments []*comment
	reviews  []*review
	test     testMerge
}

// testMerge is what merging the head into the base would give.
type testMerge struct {
	base, head string // what it was computed for
	mergeable  bool
	sha        string // of refs/pull/N/merge
	commits    int
	files      int
	additions  int
	deletions  int
}

func (p *pull) ref(kind string) string { return fmt.Sprintf("refs/pull/%d/%s", p.number, kind) }

func (p *pull) state() string {
	if p.closed != nil {
		return "closed"
	}
	return "open"
}

// baseTip is where the base branch stands, or stood when the pull request closed.
func (p *pull) baseTip(h *Hub) string {
	if p.baseSHA != "" {
		return p.baseSHA
	}
	sha, _ := h.branch(p.repo, p.baseRef)
	return sha
}

// open lists the open pull requests by number.
func (r *repo) open() []*pull {
	var out []*pull
	for n := 1; n <= r.number; n++ {
		if p := r.pulls[n]; p != nil && p.closed == nil {
			out = append(out, p)
		}
	}
	return out
}

func (c *call) pull() *pull { return c.repo.pulls[int(c.id("pull_number"))] }

func (h *Hub) createPull(c *call) *reply {
	var in struct {
		Title, Head, Base, Body *string
		HeadRepo                string `json:"head_repo"`
		Draft                   bool
		Maintainer              *bool `json:"maintainer_can_modify"`
	}
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	switch {
	case in.Head == nil || *in.Head == "":
		return invalid("PullRequest", "head", "missing_field", "")
	case in.Base == nil || *in.Base == "":
		return invalid("PullRequest", "base", "missing_field", "")
	case in.Title == nil || strings.TrimSpace(*in.Title) == "":
		return invalid("PullRequest", "title", "missing_field", "")
	case in.Body != nil && chars(*in.Body) > maxText:
		return invalid("PullRequest", "body", "custom", "body is too long (maximum is 65536 characters)")
	}
	base, ok := h.branch(c.repo, *in.Base)
	if !ok {
		return invalid("PullRequest", "base", "invalid", "")
	}
	from, ref := c.repo, *in.Head
	if owner, name, cross := strings.Cut(ref, ":"); cross {
		ref = name
		if from = h.forkOf(c.repo, owner); from == nil {
			return invalid("PullRequest", "head", "invalid", "")
		}
	}
	if !c.actor.sees(from) {
		return invalid("PullRequest", "head", "invalid", "")
	}
	head, ok := h.branch(from, ref)
	if !ok {
		return invalid("PullRequest", "head", "invalid", "")
	}
	for _, p := range c.repo.open() {
		if p.head == from && p.headRef == ref && p.baseRef == *in.Base {
			return invalid("PullRequest", "", "custom", fmt.Sprintf("A pull request already exists for %s:%s.", from.owner.login, ref))
		}
	}
	p := &pull{repo: c.repo, number: c.repo.number + 1, title: *in.Title, user: h.accountOf(c.actor), draft: in.Draft,
		created: h.now(), updated: h.now(), baseRef: *in.Base, head: from, headRef: ref, headSHA: head}
	if in.Body != nil {
		p.body = *in.Body
	}
	if err := h.takeHead(p, head); err != nil {
		return fail(500, err.Error())
	}
	if n, err := h.git(c.repo, "rev-list", "--count", base+".."+head); err != nil || n == "0" {
		_, _ = h.git(c.repo, "update-ref", "-d", p.ref("head")) // it may stay; its number is used next
		return invalid("PullRequest", "", "custom", fmt.Sprintf("No commits between %s and %s", *in.Base, *in.Head))
	}
	p.id = h.nextID()
	c.repo.number = p.number
	c.repo.pulls[p.number] = p
	h.emitPull(p, p.user, "opened", nil)
	return created(h.pullJSON(p, true))
}

// forkOf finds an owner's repository in the network of r.
func (h *Hub) forkOf(r *repo, owner string) *repo {
	if strings.EqualFold(owner, r.owner.login) {
		return r
	}
	for _, f := range sorted(h.repos) {
		if strings.EqualFold(f.owner.login, owner) && (f.parent == r || r.parent == f || f.parent != nil && f.parent == r.parent) {
			return f
		}
	}
	return nil
}

func (h *Hub) listPulls(c *call) *reply {
	q := c.r.URL.Query()
	state := or(q.Get("state"), "open")
	var found []*pull
	for n := 1; n <= c.repo.number; n++ {
		p := c.repo.pulls[n]
		if state != "all" && p.state() != state ||
			q.Get("base") != "" && p.baseRef != q.Get("base") ||
			q.Get("head") != "" && !strings.EqualFold(q.Get("head"), p.head.owner.login+":"+p.headRef) {
			continue
		}
		found = append(found, p)
	}
	if q.Get("sort") == "updated" {
		slices.SortStableFunc(found, func(a, b *pull) int { return a.updated.Compare(b.updated) })
	}
	if q.Get("direction") != "asc" && !(q.Get("direction") == "" && q.Get("sort") != "" && q.Get("sort") != "created") || q.Get("direction") == "desc" {
		slices.Reverse(found)
	}
	var all []any
	for _, p := range found {
		all = append(all, h.pullJSON(p, false))
	}
	return c.page(all)
}

func (h *Hub) getPull(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	h.tryMerge(p)
	return ok(h.pullJSON(p, true))
}

func (h *Hub) updatePull(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	if !c.mayEdit(p.user, p.repo) {
		return fail(403, "Must have write access to the pull request.")
	}
	var in struct{ Title, Body, State, Base *string }
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	if bad := h.checkUpdate(p, in.Title, in.Body, in.State, in.Base); bad != nil {
		return bad
	}
	who, changes := h.accountOf(c.actor), obj{}
	if in.Title != nil && *in.Title != p.title {
		changes["title"], p.title = obj{"from": p.title}, *in.Title
	}
	if in.Body != nil && *in.Body != p.body {
		changes["body"], p.body = obj{"from": p.body}, *in.Body
	}
	if in.Base != nil && *in.Base != p.baseRef {
		changes["base"] = obj{"ref": obj{"from": p.baseRef}, "sha": obj{"from": p.baseTip(h)}}
		p.baseRef = *in.Base
	}
	if len(changes) > 0 {
		p.updated = h.now()
		h.emitPull(p, who, "edited", obj{"changes": changes})
	}
	if in.State != nil && *in.State == "closed" && p.closed == nil {
		h.closePull(p, who)
	}
	if in.State != nil && *in.State == "open" && p.closed != nil {
		if bad := h.reopen(p, who); bad != nil {
			return bad
		}
	}
	h.tryMerge(p)
	return ok(h.pullJSON(p, true))
}

func (h *Hub) checkUpdate(p *pull, title, body, state, base *string) *reply {
	switch {
	case title != nil && strings.TrimSpace(*title) == "":
		return invalid("PullRequest", "title", "missing_field", "")
	case body != nil && chars(*body) > maxText:
		return invalid("PullRequest", "body", "custom", "body is too long (maximum is 65536 characters)")
	case state != nil && *state != "open" && *state != "closed":
		return invalid("PullRequest", "state", "invalid", "")
	case base != nil && p.closed != nil:
		return invalid("PullRequest", "base", "custom", "Cannot change the base branch of a closed pull request.")
	}
	if base != nil {
		if _, ok := h.branch(p.repo, *base); !ok {
			return invalid("PullRequest", "base", "invalid", "")
		}
	}
	return nil
}

// mayEdit says whether the actor made a thing or may write to its repository.
func (c *call) mayEdit(author *account, r *repo) bool {
	if c.actor.app != nil {
		return true // its permission was checked
	}
	return c.actor.user != nil && (c.actor.user == author || c.actor.user.mayWrite(r))
}

func (h *Hub) closePull(p *pull, who *account) {
	now := h.now()
	p.baseSHA = p.baseTip(h)
	p.closed, p.updated = &now, now
	h.emitPull(p, who, "closed", nil)
}

func (h *Hub) reopen(p *pull, who *account) *reply {
	if p.merged != nil {
		return invalid("PullRequest", "state", "custom", "state cannot be changed. The pull request has been merged.")
	}
	head, ok := h.branch(p.head, p.headRef)
	if !ok {
		return invalid("PullRequest", "state", "custom", "state cannot be changed. The head branch has been deleted.")
	}
	if err := h.takeHead(p, head); err != nil {
		return fail(500, err.Error())
	}
	p.headSHA, p.closed, p.baseSHA, p.updated = head, nil, "", h.now()
	h.emitPull(p, who, "reopened", nil)
	return nil
}

func (h *Hub) readyForReview(c *call) *reply { return h.setDraft(c, false, "ready_for_review") }
func (h *Hub) convertToDraft(c *call) *reply { return h.setDraft(c, true, "converted_to_draft") }

func (h *Hub) setDraft(c *call, draft bool, action string) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	if !c.mayEdit(p.user, p.repo) {
		return fail(403, "Must have write access to the pull request.")
	}
	if p.draft != draft {
		p.draft, p.updated = draft, h.now()
		h.emitPull(p, h.accountOf(c.actor), action, nil)
	}
	return ok(h.pullJSON(p, true))
}

// GitHub lists at most 3,000 files and 250 commits of a pull request.
const (
	maxPullFiles   = 3000
	maxPullCommits = 250
)

func (h *Hub) pullFiles(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	files, err := h.diff(p.repo, p.baseTip(h)+"..."+p.headSHA, p.headSHA)
	if err != nil {
		return fail(500, err.Error())
	}
	return c.page(files[:min(len(files), maxPullFiles)])
}

func (h *Hub) pullCommits(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	commits, err := h.commits(p.repo, false, "--reverse", p.baseTip(h)+".."+p.headSHA)
	if err != nil {
		return fail(500, err.Error())
	}
	var all []any
	for _, k := range commits[:min(len(commits), maxPullCommits)] {
		all = append(all, h.commitJSON(p.repo, k))
	}
	return c.page(all)
}

// pullsOfCommit answers with the merged pull requests that brought a commit to its
// branch, or the open ones that have it.
func (h *Hub) pullsOfCommit(c *call) *reply {
	sha, ok := h.resolve(c.repo, c.params["commit_sha"])
	if !ok {
		return fail(422, "No commit found for SHA: "+c.params["commit_sha"])
	}
	var all []any
	for n := 1; n <= c.repo.number; n++ {
		p := c.repo.pulls[n]
		hit := slices.Contains(p.landed, sha) || slices.Contains(p.own, sha)
		if p.merged != nil && h.now().Before(p.merged.Add(h.opt.IndexLag)) {
			hit = false
		}
		if p.closed == nil {
			out, err := h.git(p.repo, "rev-list", p.baseTip(h)+".."+p.headSHA)
			hit = err == nil && slices.Contains(strings.Fields(out), sha)
		}
		if hit {
			all = append(all, h.pullJSON(p, false))
		}
	}
	return c.page(all)
}

// chars counts as GitHub does: UTF-16 code units.
func chars(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}
