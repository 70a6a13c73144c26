package hub

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// stamp writes a time as GitHub does: UTC to the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func nodeID(kind string, id int64) string {
	return base64.RawStdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%d", kind, id))
}

// escapePath escapes each segment of a file path or ref for a URL.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

func (h *Hub) repoURL(r *repo) string { return h.APIURL() + "/repos/" + r.full() }
func (h *Hub) pullURL(p *pull) string { return fmt.Sprintf("%s/pulls/%d", h.repoURL(p.repo), p.number) }
func (h *Hub) pullHTML(p *pull) string {
	return fmt.Sprintf("%s/%s/pull/%d", h.url, p.repo.full(), p.number)
}

// userJSON is GitHub's simple-user.
func (h *Hub) userJSON(a *account) any {
	if a == nil {
		return nil
	}
	u := h.APIURL() + "/users/" + url.PathEscape(a.login)
	html := h.url + "/" + a.login
	if slug, bot := strings.CutSuffix(a.login, "[bot]"); bot {
		html = h.url + "/apps/" + slug
	}
	return obj{
		"login": a.login, "id": a.id, "node_id": nodeID(a.kind, a.id), "avatar_url": h.url + "/avatars/" + itoa(a.id), "gravatar_id": "",
		"url": u, "html_url": html, "followers_url": u + "/followers", "following_url": u + "/following{/other_user}",
		"gists_url": u + "/gists{/gist_id}", "starred_url": u + "/starred{/owner}{/repo}", "subscriptions_url": u + "/subscriptions",
		"organizations_url": u + "/orgs", "repos_url": u + "/repos", "events_url": u + "/events{/privacy}",
		"received_events_url": u + "/received_events", "type": a.kind, "site_admin": false, "user_view_type": "public",
	}
}

func (h *Hub) fullUserJSON(a *account) obj {
	out := h.userJSON(a).(obj)
	for k, v := range (obj{"name": nil, "company": nil, "blog": "", "location": nil, "email": nil, "hireable": nil, "bio": nil,
		"public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
		"created_at": stamp(a.created), "updated_at": stamp(a.created)}) {
		out[k] = v
	}
	return out
}

func (h *Hub) getUser(c *call) *reply {
	if c.actor.kind() != "user" {
		return fail(403, "Resource not accessible by integration")
	}
	return ok(h.fullUserJSON(c.actor.user))
}

func (h *Hub) getUserByName(c *call) *reply {
	a := h.accounts[strings.ToLower(c.params["username"])]
	if a == nil {
		return notFound()
	}
	return ok(h.fullUserJSON(a))
}

func (h *Hub) getOrg(c *call) *reply {
	a := h.accounts[strings.ToLower(c.params["org"])]
	if a == nil || a.kind != "Organization" {
		return notFound()
	}
	out := h.orgJSON(a)
	for k, v := range (obj{"html_url": h.url + "/" + a.login, "has_organization_projects": false, "has_repository_projects": false,
		"public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "type": "Organization",
		"created_at": stamp(a.created), "updated_at": stamp(a.created), "archived_at": nil}) {
		out[k] = v
	}
	return ok(out)
}

func (h *Hub) orgJSON(a *account) obj {
	u := h.APIURL() + "/orgs/" + a.login
	return obj{"login": a.login, "id": a.id, "node_id": nodeID("Organization", a.id), "url": u, "repos_url": u + "/repos",
		"events_url": u + "/events", "hooks_url": u + "/hooks", "issues_url": u + "/issues", "members_url": u + "/members{/member}",
		"public_members_url": u + "/public_members{/member}", "avatar_url": h.url + "/avatars/" + itoa(a.id), "description": ""}
}

// repoLinks are the URL templates of a repository, below its API URL.
var repoLinks = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
	"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
	"commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
	"contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
	"forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
	"hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages",
	"merges_url": "/merges", "milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}",
	"pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
	"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
	"trees_url": "/git/trees{/sha}",
}

// repoJSON is GitHub's repository as lists and events show it.
func (h *Hub) repoJSON(r *repo) obj {
	u, html := h.repoURL(r), h.url+"/"+r.full()
	open := len(r.open())
	visibility := "public"
	if r.private {
		visibility = "private"
	}
	out := obj{
		"id": r.id, "node_id": nodeID("R", r.id), "name": r.name, "full_name": r.full(), "private": r.private, "owner": h.userJSON(r.owner),
		"html_url": html, "description": nil, "fork": r.parent != nil, "url": u, "default_branch": r.defaultBranch,
		"clone_url": html + ".git", "git_url": strings.Replace(html, "http", "git", 1) + ".git", "ssh_url": "git@hub:" + r.full() + ".git",
		"svn_url": html, "homepage": nil, "language": nil, "has_issues": true, "has_projects": true, "has_downloads": true,
		"has_wiki": false, "has_pages": false, "has_discussions": false, "archived": false, "disabled": false, "mirror_url": nil,
		"open_issues": open, "open_issues_count": open, "license": nil, "size": 1, "forks": 0, "forks_count": 0,
		"stargazers_count": 0, "watchers": 0, "watchers_count": 0, "visibility": visibility, "topics": []string{},
		"is_template": false, "web_commit_signoff_required": false, "allow_forking": true,
		"created_at": stamp(r.created), "updated_at": stamp(r.pushed), "pushed_at": stamp(r.pushed),
	}
	for k, v := range repoLinks {
		out[k] = u + v
	}
	return out
}

func (h *Hub) fullRepoJSON(r *repo) obj {
	out := h.repoJSON(r)
	out["network_count"], out["subscribers_count"] = 0, 0
	out["allow_merge_commit"], out["allow_squash_merge"], out["allow_rebase_merge"] = true, true, true
	if r.owner.kind == "Organization" {
		out["organization"] = h.userJSON(r.owner)
	}
	if r.parent != nil {
		out["parent"], out["source"] = h.repoJSON(r.parent), h.repoJSON(r.parent)
	}
	return out
}

func (h *Hub) association(a *account, r *repo) string {
	switch {
	case a == nil || a.kind == "Bot":
		return "NONE"
	case a == r.owner:
		return "OWNER"
	case a.mayWrite(r):
		return "MEMBER"
	}
	return "NONE"
}

// pullJSON is GitHub's pull-request, or pull-request-simple where it isn't full.
// What a test merge says is null until one was made for the current commits.
func (h *Hub) pullJSON(p *pull, full bool) obj {
	u, html := h.pullURL(p), h.pullHTML(p)
	issue := fmt.Sprintf("%s/issues/%d", h.repoURL(p.repo), p.number)
	statuses := h.repoURL(p.repo) + "/statuses/" + p.headSHA
	href := func(s string) obj { return obj{"href": s} }
	base := p.baseTip(h)
	out := obj{
		"id": p.id, "node_id": nodeID("PR", p.id), "number": p.number, "url": u, "html_url": html, "diff_url": html + ".diff", "patch_url": html + ".patch",
		"issue_url": issue, "commits_url": u + "/commits", "review_comments_url": u + "/comments", "review_comment_url": h.repoURL(p.repo) + "/pulls/comments{/number}",
		"comments_url": issue + "/comments", "statuses_url": statuses, "state": p.state(), "locked": false, "title": p.title, "body": nil,
		"user": h.userJSON(p.user), "created_at": stamp(p.created), "updated_at": stamp(p.updated), "closed_at": nil, "merged_at": nil,
		"merge_commit_sha": nil, "assignee": nil, "assignees": []any{}, "requested_reviewers": []any{}, "requested_teams": []any{},
		"labels": []any{}, "milestone": nil, "draft": p.draft, "author_association": h.association(p.user, p.repo), "auto_merge": nil,
		"active_lock_reason": nil,
		"head":               h.sideJSON(p.head, p.headRef, p.headSHA), "base": h.sideJSON(p.repo, p.baseRef, base),
		"_links": obj{"self": href(u), "html": href(html), "issue": href(issue), "comments": href(issue + "/comments"),
			"review_comments": href(u + "/comments"), "review_comment": href(h.repoURL(p.repo) + "/pulls/comments{/number}"),
			"commits": href(u + "/commits"), "statuses": href(statuses)},
	}
	if p.body != "" {
		out["body"] = p.body
	}
	if p.closed != nil {
		out["closed_at"] = stamp(*p.closed)
	}
	current := p.test.base == base && p.test.head == p.headSHA
	switch {
	case p.merged != nil:
		out["merged_at"], out["merge_commit_sha"] = stamp(*p.merged), p.mergeSHA
	case current && p.test.sha != "":
		out["merge_commit_sha"] = p.test.sha
	}
	if full {
		h.fillPull(p, out, current)
	}
	return out
}

func (h *Hub) fillPull(p *pull, out obj, current bool) {
	if !current {
		h.tryMerge(p)
	}
	out["merged"], out["merged_by"], out["mergeable"], out["rebaseable"], out["mergeable_state"] = p.merged != nil, nil, nil, nil, "unknown"
	if p.mergedBy != nil {
		out["merged_by"] = h.userJSON(p.mergedBy)
	}
	if current && p.closed == nil {
		out["mergeable"], out["rebaseable"] = p.test.mergeable, p.test.mergeable
		switch {
		case !p.test.mergeable:
			out["mergeable_state"] = "dirty"
		case p.draft:
			out["mergeable_state"] = "draft"
		default:
			out["mergeable_state"] = "clean"
		}
	}
	out["comments"], out["review_comments"], out["commits"] = len(p.comments), 0, p.test.commits
	out["additions"], out["deletions"], out["changed_files"] = p.test.additions, p.test.deletions, p.test.files
	out["maintainer_can_modify"] = p.head != p.repo
}

func (h *Hub) sideJSON(r *repo, ref, sha string) obj {
	return obj{"label": r.owner.login + ":" + ref, "ref": ref, "sha": sha, "user": h.userJSON(r.owner), "repo": h.repoJSON(r)}
}

// pullRefs lists the open pull requests that a check run shows: those with that head
// in the repository itself, none of forks.
func (h *Hub) pullRefs(r *repo, sha string) []any {
	out := []any{}
	for _, p := range r.open() {
		if p.headSHA == sha && p.head == r {
			side := func(ref, sha string) obj {
				return obj{"ref": ref, "sha": sha, "repo": obj{"id": r.id, "url": h.repoURL(r), "name": r.name}}
			}
			out = append(out, obj{"id": p.id, "number": p.number, "url": h.pullURL(p), "head": side(p.headRef, p.headSHA), "base": side(p.baseRef, p.baseTip(h))})
		}
	}
	return out
}
