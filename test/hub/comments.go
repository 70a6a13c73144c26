package hub

import (
	"slices"
	"strings"
	"time"
)

type comment struct {
	id      int64
	pull    *pull
	user    *account
	app     *app // through which it was made
	body    string
	created time.Time
	updated time.Time
}

func (h *Hub) listComments(c *call) *reply {
	p := c.repo.pulls[int(c.id("issue_number"))]
	if p == nil {
		return notFound()
	}
	since, err := time.Parse(time.RFC3339, c.r.URL.Query().Get("since"))
	var all []any
	for _, k := range p.comments {
		if err == nil && k.updated.Before(since) {
			continue
		}
		all = append(all, h.commentJSON(k))
	}
	return c.page(all)
}

func (c *call) comment() *comment {
	if k := c.hub.comments[c.id("comment_id")]; k != nil && k.pull.repo == c.repo {
		return k
	}
	return nil
}

func (h *Hub) getComment(c *call) *reply {
	k := c.comment()
	if k == nil {
		return notFound()
	}
	return ok(h.commentJSON(k))
}

func (c *call) commentBody() (string, *reply) {
	var in struct{ Body *string }
	if bad := c.decode(&in); bad != nil {
		return "", bad
	}
	switch {
	case in.Body == nil:
		return "", invalid("IssueComment", "body", "missing_field", "")
	case strings.TrimSpace(*in.Body) == "":
		return "", invalid("IssueComment", "body", "custom", "body cannot be blank")
	case chars(*in.Body) > maxText:
		return "", invalid("IssueComment", "body", "unprocessable", "body is too long (maximum is 65536 characters)")
	}
	return *in.Body, nil
}

func (h *Hub) createComment(c *call) *reply {
	p := c.repo.pulls[int(c.id("issue_number"))]
	if p == nil {
		return notFound()
	}
	body, bad := c.commentBody()
	if bad != nil {
		return bad
	}
	k := &comment{id: h.nextID(), pull: p, user: h.accountOf(c.actor), app: c.actor.app, body: body, created: h.now(), updated: h.now()}
	p.comments = append(p.comments, k)
	p.updated = h.now()
	h.comments[k.id] = k
	h.emitComment(k, k.user, "created", nil)
	return created(h.commentJSON(k))
}

func (h *Hub) editComment(c *call) *reply {
	k := c.comment()
	if k == nil {
		return notFound()
	}
	if !c.mayEdit(k.user, k.pull.repo) {
		return fail(403, "Must have write access to edit the comment.")
	}
	body, bad := c.commentBody()
	if bad != nil {
		return bad
	}
	from := k.body
	k.body, k.updated = body, h.now()
	h.emitComment(k, h.accountOf(c.actor), "edited", obj{"body": obj{"from": from}})
	return ok(h.commentJSON(k))
}

func (h *Hub) deleteComment(c *call) *reply {
	k := c.comment()
	if k == nil {
		return notFound()
	}
	if !c.mayEdit(k.user, k.pull.repo) {
		return fail(403, "Must have write access to delete the comment.")
	}
	delete(h.comments, k.id)
	k.pull.comments = slices.DeleteFunc(k.pull.comments, func(o *comment) bool { return o == k })
	h.emitComment(k, h.accountOf(c.actor), "deleted", nil)
	return &reply{status: 204}
}

func (h *Hub) commentJSON(k *comment) obj {
	r := k.pull.repo
	url := h.repoURL(r) + "/issues/comments/" + itoa(k.id)
	out := obj{
		"id": k.id, "node_id": nodeID("IC", k.id), "url": url, "html_url": h.pullHTML(k.pull) + "#issuecomment-" + itoa(k.id),
		"issue_url": h.repoURL(r) + "/issues/" + itoa(int64(k.pull.number)), "body": k.body, "user": h.userJSON(k.user),
		"created_at": stamp(k.created), "updated_at": stamp(k.updated), "author_association": h.association(k.user, r),
		"reactions": reactions(url), "performed_via_github_app": nil,
	}
	if k.app != nil {
		out["performed_via_github_app"] = h.integrationJSON(k.app)
	}
	return out
}

func reactions(url string) obj {
	out := obj{"url": url + "/reactions", "total_count": 0}
	for _, r := range []string{"+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"} {
		out[r] = 0
	}
	return out
}
