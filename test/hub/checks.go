package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// GitHub's limits on check runs.
const (
	maxAnnotations   = 50    // in one request
	maxCheckText     = 65535 // characters of a summary or text
	maxActions       = 3
	maxRawDetails    = 64 << 10
	maxSuiteRunNames = 1000 // runs of one name in a suite; then the oldest go
)

type checkSuite struct {
	id      int64
	repo    *repo
	app     *app
	sha     string
	branch  string // "" for the head of a fork
	created time.Time
	updated time.Time
	runs    []*checkRun
}

type checkRun struct {
	id          int64
	suite       *checkSuite
	name        string
	status      string // queued, in_progress or completed
	conclusion  string // "" until completed
	started     time.Time
	completed   time.Time
	externalID  string
	detailsURL  string
	title       *string
	summary     *string
	text        *string
	annotations []annotation
	actions     []checkAction
}

type annotation struct {
	Path        string  `json:"path"`
	StartLine   *int    `json:"start_line"`
	EndLine     *int    `json:"end_line"`
	StartColumn *int    `json:"start_column"`
	EndColumn   *int    `json:"end_column"`
	Level       string  `json:"annotation_level"`
	Message     string  `json:"message"`
	Title       *string `json:"title"`
	RawDetails  *string `json:"raw_details"`
}

type checkAction struct {
	Label       string `json:"label"`
	Description string `json:"description"`
	Identifier  string `json:"identifier"`
}

// runInput is the body of a create or update request.
type runInput struct {
	Name        *string    `json:"name"`
	HeadSHA     *string    `json:"head_sha"`
	Status      *string    `json:"status"`
	Conclusion  *string    `json:"conclusion"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	ExternalID  *string    `json:"external_id"`
	DetailsURL  *string    `json:"details_url"`
	Output      *struct {
		Title       *string      `json:"title"`
		Summary     *string      `json:"summary"`
		Text        *string      `json:"text"`
		Annotations []annotation `json:"annotations"`
	} `json:"output"`
	Actions []checkAction `json:"actions"`
}

var conclusions = []string{"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}

// check finds what is wrong with an input; create says which operation it is of.
func (in *runInput) check(create bool) *reply {
	bad := func(field, message string) *reply { return invalid("CheckRun", field, "invalid", message) }
	switch {
	case create && (in.Name == nil || *in.Name == ""):
		return invalid("CheckRun", "name", "missing_field", "")
	case create && in.HeadSHA == nil:
		return invalid("CheckRun", "head_sha", "missing_field", "")
	case in.Status != nil && !slices.Contains([]string{"queued", "in_progress", "completed"}, *in.Status):
		return bad("status", "status is not one of queued, in_progress, completed")
	case in.Conclusion != nil && !slices.Contains(conclusions, *in.Conclusion):
		return bad("conclusion", *in.Conclusion+" is not a valid conclusion")
	case in.Status != nil && *in.Status == "completed" && in.Conclusion == nil:
		return invalid("CheckRun", "conclusion", "missing_field", "a completed check run needs a conclusion")
	case len(in.Actions) > maxActions:
		return bad("actions", "No more than 3 actions are allowed")
	}
	for _, a := range in.Actions {
		if a.Label == "" || a.Identifier == "" || chars(a.Label) > 20 || chars(a.Description) > 40 || chars(a.Identifier) > 20 {
			return bad("actions", "label (20), description (40) and identifier (20 characters) are required")
		}
	}
	if in.Output == nil {
		return nil
	}
	o := in.Output
	switch {
	case o.Summary == nil:
		return invalid("CheckRun", "summary", "missing_field", "")
	case create && o.Title == nil:
		return invalid("CheckRun", "title", "missing_field", "")
	case chars(*o.Summary) > maxCheckText:
		return bad("summary", "Only 65535 characters are allowed; "+fmt.Sprint(chars(*o.Summary))+" were supplied.")
	case o.Text != nil && chars(*o.Text) > maxCheckText:
		return bad("text", "Only 65535 characters are allowed; "+fmt.Sprint(chars(*o.Text))+" were supplied.")
	case len(o.Annotations) > maxAnnotations:
		return bad("annotations", fmt.Sprintf("No more than 50 items are allowed; %d were supplied.", len(o.Annotations)))
	}
	for _, a := range o.Annotations {
		if problem := a.problem(); problem != "" {
			return bad("annotations", problem)
		}
	}
	return nil
}

func (a annotation) problem() string {
	switch {
	case a.Path == "" || a.StartLine == nil || a.EndLine == nil || a.Message == "":
		return "path, start_line, end_line and message are required"
	case *a.StartLine < 1 || *a.EndLine < *a.StartLine:
		return "end_line must not come before start_line, which counts from 1"
	case !slices.Contains([]string{"notice", "warning", "failure"}, a.Level):
		return "annotation_level is not one of notice, warning, failure"
	case (a.StartColumn != nil || a.EndColumn != nil) && *a.StartLine != *a.EndLine:
		return "columns are only allowed on a single line"
	case len(a.Message) > maxRawDetails || a.RawDetails != nil && len(*a.RawDetails) > maxRawDetails:
		return "message and raw_details are limited to 64 KB"
	case a.Title != nil && chars(*a.Title) > 255:
		return "title is limited to 255 characters"
	}
	return ""
}

func (h *Hub) createRun(c *call) *reply {
	if c.actor.app == nil {
		return fail(403, "You must authenticate via a GitHub App.")
	}
	var in runInput
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	if bad := in.check(true); bad != nil {
		return bad
	}
	sha, ok := h.resolve(c.repo, *in.HeadSHA)
	if !ok || sha != *in.HeadSHA {
		return fail(422, "No commit found for SHA: "+*in.HeadSHA)
	}
	s := h.suiteFor(c.repo, c.actor.app, sha, "")
	run := &checkRun{id: h.nextID(), suite: s, name: *in.Name, status: "queued", started: h.now()}
	h.runs[run.id] = run
	s.runs = append(s.runs, run)
	h.trimSuite(s, run.name)
	run.apply(h, &in)
	h.emitRun(run, "created", nil)
	if run.status == "completed" {
		h.completed(run)
	}
	return created(h.runJSON(run))
}

// completed sends what follows from a run's completion.
func (h *Hub) completed(run *checkRun) {
	h.emitRun(run, "completed", nil)
	if status, _ := run.suite.state(); status == "completed" {
		h.emitSuite(run.suite, "completed", h.accounts[run.suite.app.BotLogin])
	}
}

// trimSuite deletes the oldest runs of a name beyond GitHub's limit.
func (h *Hub) trimSuite(s *checkSuite, name string) {
	same := 0
	for _, r := range s.runs {
		if r.name == name {
			same++
		}
	}
	s.runs = slices.DeleteFunc(s.runs, func(r *checkRun) bool {
		if r.name != name || same <= maxSuiteRunNames {
			return false
		}
		same--
		delete(h.runs, r.id)
		return true
	})
}

// apply takes over what an input says; annotations are appended.
func (r *checkRun) apply(h *Hub, in *runInput) {
	now := h.now()
	set := func(dst *string, v *string) {
		if v != nil {
			*dst = *v
		}
	}
	set(&r.name, in.Name)
	set(&r.externalID, in.ExternalID)
	set(&r.detailsURL, in.DetailsURL)
	set(&r.status, in.Status)
	if in.StartedAt != nil {
		r.started = in.StartedAt.UTC()
	}
	if in.Conclusion != nil {
		r.status, r.conclusion = "completed", *in.Conclusion
	}
	if r.status != "completed" {
		r.conclusion = ""
	} else if r.completed.IsZero() || in.CompletedAt != nil || in.Conclusion != nil {
		r.completed = now
		if in.CompletedAt != nil {
			r.completed = in.CompletedAt.UTC()
		}
	}
	if o := in.Output; o != nil {
		if o.Title != nil {
			r.title = o.Title
		}
		r.summary = o.Summary
		if o.Text != nil {
			r.text = o.Text
		}
		r.annotations = append(r.annotations, o.Annotations...)
	}
	if in.Actions != nil {
		r.actions = in.Actions
	}
	r.suite.updated = now
}

func (c *call) run() *checkRun {
	if r := c.hub.runs[c.id("check_run_id")]; r != nil && r.suite.repo == c.repo {
		return r
	}
	return nil
}

func (h *Hub) getRun(c *call) *reply {
	r := c.run()
	if r == nil {
		return notFound()
	}
	return ok(h.runJSON(r))
}

func (h *Hub) updateRun(c *call) *reply {
	run := c.run()
	if run == nil {
		return notFound()
	}
	if run.suite.app != c.actor.app {
		return fail(403, "Invalid app_id `"+itoa(run.suite.app.ID)+"` - check run can only be modified by the GitHub App that created it.")
	}
	var in runInput
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	if bad := in.check(false); bad != nil {
		return bad
	}
	if run.status == "completed" && in.Status != nil && *in.Status != "completed" {
		return invalid("CheckRun", "status", "invalid", "a completed check run cannot be reopened")
	}
	was := run.status
	run.apply(h, &in)
	if was != "completed" && run.status == "completed" {
		h.completed(run)
	}
	return ok(h.runJSON(run))
}

func (h *Hub) listAnnotations(c *call) *reply {
	r := c.run()
	if r == nil {
		return notFound()
	}
	var all []any
	for _, a := range r.annotations {
		all = append(all, obj{"path": a.Path, "blob_href": h.url + "/" + c.repo.full() + "/blob/" + r.suite.sha + "/" + escapePath(a.Path),
			"start_line": *a.StartLine, "end_line": *a.EndLine, "start_column": a.StartColumn, "end_column": a.EndColumn,
			"annotation_level": a.Level, "title": a.Title, "message": a.Message, "raw_details": a.RawDetails})
	}
	return c.page(all)
}

// rerequestRun asks the run's App to do it again; only people and that App may.
func (h *Hub) rerequestRun(c *call) *reply {
	r := c.run()
	if r == nil {
		return notFound()
	}
	if c.actor.app != nil && c.actor.app != r.suite.app {
		return fail(403, "Invalid app_id `"+itoa(r.suite.app.ID)+"` - check run can only be rerequested by the GitHub App that created it.")
	}
	h.emitRunAs(r, "rerequested", h.accountOf(c.actor), nil)
	return created(obj{})
}

// RequestAction presses a button of a check run, as a user does on GitHub's page.
func (h *Hub) RequestAction(run int64, user, identifier string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, who := h.runs[run], h.accounts[strings.ToLower(user)]
	if r == nil || who == nil {
		return fmt.Errorf("request action %s of check run %d: no such run or user", identifier, run)
	}
	if !slices.ContainsFunc(r.actions, func(a checkAction) bool { return a.Identifier == identifier }) {
		return fmt.Errorf("request action %s of check run %d: it has no such button", identifier, run)
	}
	h.emitRunAs(r, "requested_action", who, obj{"requested_action": obj{"identifier": identifier}})
	return nil
}

func (h *Hub) runsForRef(c *call) *reply {
	sha, ok := h.resolve(c.repo, c.params["ref"])
	if !ok {
		return fail(422, "No commit found for SHA: "+c.params["ref"])
	}
	var runs []*checkRun
	for _, s := range sorted(h.suites) {
		if s.repo == c.repo && s.sha == sha {
			runs = append(runs, s.runs...)
		}
	}
	return h.pageRuns(c, runs)
}

// pageRuns filters by check_name, status, app_id and filter (latest of each name, or
// all), newest first.
func (h *Hub) pageRuns(c *call, runs []*checkRun) *reply {
	q := c.r.URL.Query()
	slices.SortFunc(runs, byID(func(r *checkRun) int64 { return -r.id }))
	type key struct {
		app  *app
		name string
	}
	seen := map[key]bool{}
	var all []any
	for _, r := range runs {
		k := key{r.suite.app, r.name}
		if q.Get("filter") != "all" && seen[k] {
			continue
		}
		seen[k] = true
		if name := q.Get("check_name"); name != "" && name != r.name ||
			q.Get("status") != "" && q.Get("status") != r.status ||
			q.Get("app_id") != "" && q.Get("app_id") != itoa(r.suite.app.ID) {
			continue
		}
		all = append(all, h.runJSON(r))
	}
	out := c.page(all)
	out.body = obj{"total_count": len(all), "check_runs": out.body}
	return out
}

func (h *Hub) runJSON(r *checkRun) obj {
	rp := r.suite.repo
	url := h.repoURL(rp) + "/check-runs/" + itoa(r.id)
	out := obj{
		"id": r.id, "node_id": nodeID("CR", r.id), "name": r.name, "head_sha": r.suite.sha, "external_id": r.externalID,
		"url": url, "html_url": h.url + "/" + rp.full() + "/runs/" + itoa(r.id), "details_url": or(r.detailsURL, h.url),
		"status": r.status, "conclusion": nil, "started_at": stamp(r.started), "completed_at": nil,
		"check_suite": obj{"id": r.suite.id}, "app": h.integrationJSON(r.suite.app), "pull_requests": h.pullRefs(rp, r.suite.sha),
		"output": obj{"title": r.title, "summary": r.summary, "text": r.text, "annotations_count": len(r.annotations),
			"annotations_url": url + "/annotations"},
	}
	if r.status == "completed" {
		out["conclusion"], out["completed_at"] = r.conclusion, stamp(r.completed)
	}
	return out
}
