package hub

import (
	"strings"
	"time"
)

type review struct {
	id        int64
	pull      *pull
	user      *account
	body      string
	state     string // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING
	commit    string
	submitted time.Time
}

func (h *Hub) listReviews(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	var all []any
	for _, r := range p.reviews {
		all = append(all, h.reviewJSON(r, false))
	}
	return c.page(all)
}

func (c *call) review() *review {
	if p := c.pull(); p != nil {
		for _, r := range p.reviews {
			if r.id == c.id("review_id") {
				return r
			}
		}
	}
	return nil
}

func (h *Hub) getReview(c *call) *reply {
	r := c.review()
	if r == nil {
		return notFound()
	}
	return ok(h.reviewJSON(r, false))
}

func (h *Hub) createReview(c *call) *reply {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	var in struct {
		Body, Event string
		Commit      string `json:"commit_id"`
	}
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	state, known := map[string]string{"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED", "": "PENDING"}[in.Event]
	who := h.accountOf(c.actor)
	switch {
	case !known:
		return invalid("PullRequestReview", "event", "invalid", "")
	case state == "PENDING":
		return fail(422, "Pending reviews aren't kept here; give an event")
	case who == p.user && state == "APPROVED":
		return fail(422, "Can not approve your own pull request")
	case who == p.user && state == "CHANGES_REQUESTED":
		return fail(422, "Can not request changes on your own pull request")
	case state != "APPROVED" && strings.TrimSpace(in.Body) == "":
		return fail(422, "Body is required for this review event")
	case chars(in.Body) > maxText:
		return invalid("PullRequestReview", "body", "custom", "body is too long (maximum is 65536 characters)")
	}
	if in.Commit == "" {
		in.Commit = p.headSHA
	} else if sha, ok := h.resolve(p.repo, in.Commit); !ok || sha != in.Commit {
		return fail(422, "The commit_id isn't part of the pull request")
	}
	r := &review{id: h.nextID(), pull: p, user: who, body: in.Body, state: state, commit: in.Commit, submitted: h.now()}
	p.reviews = append(p.reviews, r)
	p.updated = h.now()
	h.emitReview(r, who, "submitted")
	return ok(h.reviewJSON(r, false))
}

// dismissReview rewrites a review's state, as GitHub does: what it was is lost.
func (h *Hub) dismissReview(c *call) *reply {
	r := c.review()
	if r == nil {
		return notFound()
	}
	var in struct{ Message string }
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	switch {
	case c.actor.user != nil && !c.actor.user.mayWrite(r.pull.repo):
		return fail(403, "Must have write access to dismiss a review.")
	case in.Message == "":
		return invalid("PullRequestReview", "message", "missing_field", "")
	case r.state != "APPROVED" && r.state != "CHANGES_REQUESTED":
		return fail(422, "Can not dismiss a "+strings.ToLower(r.state)+" pull request review")
	}
	r.state = "DISMISSED"
	h.emitReview(r, h.accountOf(c.actor), "dismissed")
	return ok(h.reviewJSON(r, false))
}

func (h *Hub) reviewJSON(r *review, webhook bool) obj {
	state := r.state
	if webhook { // webhooks write the state in lower case
		state = strings.ToLower(state)
	}
	pr := h.pullURL(r.pull)
	html := h.pullHTML(r.pull) + "#pullrequestreview-" + itoa(r.id)
	return obj{
		"id": r.id, "node_id": nodeID("PRR", r.id), "user": h.userJSON(r.user), "body": r.body, "state": state,
		"commit_id": r.commit, "submitted_at": stamp(r.submitted), "html_url": html, "pull_request_url": pr,
		"author_association": h.association(r.user, r.pull.repo),
		"_links":             obj{"html": obj{"href": html}, "pull_request": obj{"href": pr}},
	}
}
