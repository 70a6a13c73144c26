package hub

import (
	"slices"
	"strings"
)

// emit sends an event of a repository to the Apps that are installed on it and
// subscribe to it; only limits it to one App's.
func (h *Hub) emit(r *repo, who *account, event, action string, payload obj, only *app) {
	payload["repository"] = h.repoJSON(r)
	if who == nil {
		who = r.owner
	}
	payload["sender"] = h.userJSON(who)
	if r.owner.kind == "Organization" {
		payload["organization"] = h.orgJSON(r.owner)
	}
	if action != "" {
		payload["action"] = action
	}
	for _, in := range sorted(h.installs) {
		switch {
		case in.suspended != nil || !in.covers(r) || only != nil && in.app != only:
		case only == nil && !subscribed(in.app, event):
		default:
			body := obj{"installation": obj{"id": in.id, "node_id": nodeID("INSTALLATION", in.id)}}
			for k, v := range payload {
				body[k] = v
			}
			h.enqueue(in.app, in, r, event, action, body)
		}
	}
}

func subscribed(a *app, event string) bool { return slices.Contains(a.opt.Events, event) }

// wanted says whether any App on a repository subscribes to an event, to spare the
// work of describing what nobody gets.
func (h *Hub) wanted(r *repo, event string) bool {
	for _, in := range h.installs {
		if in.suspended == nil && in.covers(r) && subscribed(in.app, event) {
			return true
		}
	}
	return false
}

func (h *Hub) emitPing(a *app) {
	h.enqueue(a, nil, nil, "ping", "", obj{"zen": "Keep it logically awesome.", "hook_id": a.hookID,
		"hook": obj{"type": "App", "id": a.hookID, "name": "web", "active": true, "events": list(a.opt.Events), "app_id": a.ID,
			"config":     obj{"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": a.opt.WebhookURL},
			"updated_at": stamp(h.now()), "created_at": stamp(a.created), "deliveries_url": h.APIURL() + "/app/hook/deliveries"}})
}

func repoBrief(r *repo) obj {
	return obj{"id": r.id, "node_id": nodeID("R", r.id), "name": r.name, "full_name": r.full(), "private": r.private}
}

func (h *Hub) emitInstallation(in *installation, action string) {
	repos := []any{}
	for _, r := range h.covered(in) {
		repos = append(repos, repoBrief(r))
	}
	p := obj{"action": action, "installation": h.installationJSON(in), "repositories": repos, "sender": h.userJSON(in.account), "requester": nil}
	if in.account.kind == "Organization" {
		p["organization"] = h.orgJSON(in.account)
	}
	h.enqueue(in.app, in, nil, "installation", action, p)
}

func (h *Hub) emitInstallationRepos(in *installation, repos []*repo, added bool) {
	changed := []any{}
	for _, r := range repos {
		changed = append(changed, repoBrief(r))
	}
	sel := "selected"
	if in.all {
		sel = "all"
	}
	action := "removed"
	p := obj{"installation": h.installationJSON(in), "repository_selection": sel, "repositories_added": []any{}, "repositories_removed": changed,
		"requester": nil, "sender": h.userJSON(in.account)}
	if added {
		action = "added"
		p["repositories_added"], p["repositories_removed"] = changed, []any{}
	}
	p["action"] = action
	if in.account.kind == "Organization" {
		p["organization"] = h.orgJSON(in.account)
	}
	h.enqueue(in.app, in, nil, "installation_repositories", action, p)
}

// emitPush sends a push event. before are the refs as they were: the commits of a
// new branch are those that no ref had.
func (h *Hub) emitPush(r *repo, who *account, ref, old, now string, before map[string]string) {
	if !h.wanted(r, "push") {
		return
	}
	p := obj{"ref": ref, "before": old, "after": now, "created": old == zeroSHA, "deleted": now == zeroSHA, "forced": false,
		"base_ref": nil, "commits": []any{}, "head_commit": nil}
	short := func(s string) string { return s[:12] }
	p["compare"] = h.url + "/" + r.full() + "/compare/" + short(old) + "..." + short(now)
	if who != nil {
		p["pusher"] = obj{"name": who.login, "email": who.email}
	} else {
		p["pusher"] = obj{"name": r.owner.login}
	}
	if old != zeroSHA && now != zeroSHA {
		p["forced"] = !h.isAncestor(r, old, now)
	}
	if now != zeroSHA && strings.HasPrefix(ref, "refs/heads/") {
		args := []string{"--reverse", "--max-count=2048", now}
		if old != zeroSHA {
			args = append(args, "^"+old)
		} else {
			for _, sha := range before {
				args = append(args, "^"+sha)
			}
		}
		commits, err := h.commits(r, true, args...)
		if err != nil {
			h.log.Error("list pushed commits", "repo", r.full(), "err", err)
		}
		list := []any{}
		for _, k := range commits[:min(len(commits), maxPushCommits)] {
			list = append(list, h.pushCommit(r, k))
		}
		p["commits"] = list
		if tip, err := h.commits(r, true, "-1", now); err == nil && len(tip) == 1 {
			p["head_commit"] = h.pushCommit(r, tip[0])
		}
	}
	h.emit(r, who, "push", "", p, nil)
}

func (h *Hub) emitPull(p *pull, who *account, action string, extra obj) {
	if !h.wanted(p.repo, "pull_request") {
		return
	}
	out := obj{"number": p.number, "pull_request": h.pullJSON(p, true)}
	for k, v := range extra {
		out[k] = v
	}
	h.emit(p.repo, who, "pull_request", action, out, nil)
}

func (h *Hub) emitReview(r *review, who *account, action string) {
	h.emit(r.pull.repo, who, "pull_request_review", action, obj{"review": h.reviewJSON(r, true), "pull_request": h.pullJSON(r.pull, false)}, nil)
}

func (h *Hub) emitComment(k *comment, who *account, action string, changes obj) {
	p := k.pull
	issue := h.repoURL(p.repo) + "/issues/" + itoa(int64(p.number))
	out := obj{"comment": h.commentJSON(k), "issue": obj{
		"id": p.id, "node_id": nodeID("PR", p.id), "number": p.number, "title": p.title, "body": p.body, "state": p.state(), "user": h.userJSON(p.user),
		"url": issue, "html_url": h.pullHTML(p), "repository_url": h.repoURL(p.repo), "labels_url": issue + "/labels{/name}",
		"comments_url": issue + "/comments", "events_url": issue + "/events", "comments": len(p.comments), "locked": false,
		"labels": []any{}, "assignee": nil, "assignees": []any{}, "milestone": nil, "active_lock_reason": nil, "draft": p.draft,
		"author_association": h.association(p.user, p.repo), "created_at": stamp(p.created), "updated_at": stamp(p.updated), "closed_at": nil,
		"reactions":    reactions(issue),
		"pull_request": obj{"url": h.pullURL(p), "html_url": h.pullHTML(p), "diff_url": h.pullHTML(p) + ".diff", "patch_url": h.pullHTML(p) + ".patch"}}}
	if changes != nil {
		out["changes"] = changes
	}
	h.emit(p.repo, who, "issue_comment", action, out, nil)
}

// emitRun sends what an App did with its check run, to all who subscribe.
func (h *Hub) emitRun(r *checkRun, action string, extra obj) {
	if !h.wanted(r.suite.repo, "check_run") {
		return
	}
	h.emit(r.suite.repo, h.accounts[r.suite.app.BotLogin], "check_run", action, h.runPayload(r, extra), nil)
}

// emitRunAs sends what a person asks of a check run, to its App only.
func (h *Hub) emitRunAs(r *checkRun, action string, who *account, extra obj) {
	h.emit(r.suite.repo, who, "check_run", action, h.runPayload(r, extra), r.suite.app)
}

func (h *Hub) runPayload(r *checkRun, extra obj) obj {
	run := h.runJSON(r)
	suite := h.suiteJSON(r.suite)
	delete(suite, "repository") // it isn't part of the event
	run["check_suite"] = suite
	out := obj{"check_run": run}
	for k, v := range extra {
		out[k] = v
	}
	return out
}

// emitSuite sends what happened to a check suite. Requests go to its App only.
func (h *Hub) emitSuite(s *checkSuite, action string, who *account) {
	var only *app
	if action != "completed" {
		only = s.app
	}
	if action == "requested" && !subscribed(s.app, "check_suite") || action == "completed" && !h.wanted(s.repo, "check_suite") {
		return
	}
	suite := h.suiteJSON(s)
	delete(suite, "repository") // it isn't part of the event
	h.emit(s.repo, who, "check_suite", action, obj{"check_suite": suite}, only)
}
