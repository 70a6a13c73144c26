package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
)

// MaxComment is GitHub's limit for a comment: 65,536 characters. We count bytes,
// which are never fewer.
const MaxComment = 65536

// Comment is the body of a pull request's sticky comment: the marker, then the
// verdict, what to fix, what it costs, and what changes for whom. At most
// MaxComment bytes.
func Comment(r reconcile.Report) string {
	p := page{repository: r.Repo.HTMLURL, head: string(r.Head), verdict: r.Verdict}
	return Marker(r.Repo.ID, r.Pull.Number) + "\n" + p.body() + p.footer(r)
}

// Marker is the hidden first line of the sticky comment of a pull request, by
// which it is found again.
func Marker(repo reconcile.RepoID, pull int) string {
	id := strings.Map(func(r rune) rune {
		if r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return '_'
	}, clean(string(repo), 65))
	// Two hyphens can't stand inside an HTML comment.
	id = strings.ReplaceAll(id, "--", "-_")
	return fmt.Sprintf("<!-- conductor:v1 repo=%s pr=%d -->", id, pull)
}

// Markdown is the comment's text for a verdict without a pull request: no
// marker, no links.
func Markdown(v manifests.Verdict) string {
	return page{verdict: v, tree: !v.Compared}.body()
}

// The shares of a comment's sections, in bytes. With the verdict, the notes and
// the footer (under 4,000 together) they stay below MaxComment.
const (
	shareProblems = 26000
	shareWarnings = 8000
	shareNotices  = 4000
	shareExisting = 5000
	shareCost     = 7000
	shareChanges  = 7000
	shareUnpriced = 2500
	shareMethod   = 2000
)

// page renders the parts of a comment or a check run's summary.
type page struct {
	repository string // web address; "" makes no links
	head       string
	verdict    manifests.Verdict
	tree       bool // a tree as it is, with nothing to compare it with
}

func (p page) body() string {
	v := p.verdict
	t := newTally(v.Findings, all)
	return p.headline(t) + "\n" +
		p.problems(t) +
		p.cost() +
		p.changes() +
		p.existing(t.existing, shareExisting)
}

// headline is the verdict in one line.
func (p page) headline(t tally) string {
	v := p.verdict
	var line string
	switch {
	case len(t.errors) > 0:
		line = fmt.Sprintf("❌ **%s must be fixed**", count(len(t.errors), "problem"))
	case v.Tenants.Conclusion == manifests.Failure:
		line = "❌ **Not ready**: " + prose(v.Tenants.Title)
	case v.Budget.Conclusion == manifests.Failure:
		line = "❌ **Not ready**: " + prose(v.Budget.Title)
	case len(t.warnings) > 0:
		line = fmt.Sprintf("⚠️ **Ready, with %s**", count(len(t.warnings), "warning"))
	default:
		line = "✅ **Ready**"
	}
	switch sum, lower, moves := totalDelta(v.Cost); {
	case moves && lower:
		line += " · cost **" + sum.Signed() + "** a month, not counting what isn't priced"
	case moves:
		line += " · cost **" + sum.Signed() + "** a month"
	case p.tree:
	case len(v.TouchedTenants) == 0:
		line += " · no tenant is affected"
	default:
		line += " · no change in cost"
	}
	return line + "\n"
}

// problems lists what the change brought: errors, warnings, notices.
func (p page) problems(t tally) string {
	heading := func(title string, others int) string {
		if others == 0 {
			return ""
		}
		return "**" + title + "**\n\n"
	}
	return p.findings(t.errors, heading("Must be fixed", len(t.warnings)), shareProblems, 50) +
		p.findings(t.warnings, heading(count(len(t.warnings), "warning"), len(t.errors)), shareWarnings, 20) +
		p.findings(t.notices, "**Good to know**\n\n", shareNotices, 10)
}

func (p page) findings(list []manifests.Finding, head string, share, most int) string {
	return section{
		head: head, tail: "\n", share: share, most: most, more: moreItems,
		n: len(list), row: func(i int) string {
			above := i > 0 && list[i].Remedy == list[i-1].Remedy && list[i].Rule == list[i-1].Rule
			return p.finding(list[i], above)
		},
	}.String()
}

// finding is a list item: where, what is wrong, what to do. above is true when
// the item before it has the same remedy, which isn't said twice.
func (p page) finding(f manifests.Finding, above bool) string {
	row := "- " + p.place(f.File, f.Line) + " " + sentence(f.Message)
	switch {
	case above:
		row += " **Fix:** as above."
	case f.Remedy != "":
		row += "<br>**Fix:** " + sentence(f.Remedy)
	}
	return row + " " + code(f.Rule) + "\n"
}

// place is "file:line", a link where the page has a repository.
func (p page) place(file string, line int) string {
	text := file
	if line > 0 {
		text = fmt.Sprintf("%s:%d", clean(file, maxName), line)
	}
	link := blobURL(p.repository, p.head, file, line)
	if link == "" {
		return code(text)
	}
	return "[" + code(text) + "](" + link + ")"
}

func (p page) existing(list []manifests.Finding, share int) string {
	head := fmt.Sprintf("<details><summary>%s: here before, and not counted against this change</summary>\n\n",
		count(len(list), "older problem"))
	return fold(p.findings(list, head, share-len("</details>\n\n"), 20))
}

// fold closes a section that opened <details>.
func fold(s string) string {
	if s == "" {
		return ""
	}
	return s + "</details>\n\n"
}

// changes says in words what happens to whom.
func (p page) changes() string {
	v := p.verdict
	head, tail := "**What changes**\n\n", "\n"
	if len(v.Changes) > 12 {
		head = fmt.Sprintf("<details><summary>What changes: %s</summary>\n\n", count(len(v.Changes), "resource"))
		tail = "\n</details>\n\n"
	}
	out := section{
		head: head, tail: tail, share: shareChanges, most: 60, more: moreItems,
		n: len(v.Changes), row: func(i int) string { return p.change(v.Changes[i]) },
	}.String()
	if slices.ContainsFunc(v.Changes, func(c manifests.Change) bool { return c.Policy }) {
		out += "> Policy edits take effect once merged: this change was judged by the policy it starts from.\n\n"
	}
	return out
}

func (p page) change(c manifests.Change) string {
	row := "- " + code(tenant(c.Tenant))
	if c.Environment != "" {
		row += " in " + code(string(c.Environment))
	}
	switch {
	case c.Kind == manifests.Opaque:
		row += ": " + p.place(c.File, c.Line) + " changed in a way that can't be judged"
	default:
		row += ": " + string(c.Kind) + " " + prose(c.Resource)
	}
	if c.Policy {
		row += " (policy)"
	}
	const most = 8
	for i, d := range c.Details[:min(most, len(c.Details))] {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		row += sep + shortProse(d, maxDetail)
	}
	if n := len(c.Details) - most; n > 0 {
		row += fmt.Sprintf("; … and %d more", n)
	}
	return row + "\n"
}

// footer says what was judged, so that a reader can tell a stale comment.
func (p page) footer(r reconcile.Report) string {
	var parts []string
	judged := "Judged " + code(r.Head.Short())
	if r.Base != "" {
		judged += " against " + code(r.Base.Short())
	}
	if r.Pull.BaseRef != "" {
		judged += " of " + code(r.Pull.BaseRef)
	}
	parts = append(parts, judged)
	if d := p.verdict.PolicyDigest; d != "" {
		parts = append(parts, "policy "+code(d[:min(12, len(d))]))
	}
	if len(p.verdict.Findings) > 0 {
		parts = append(parts, "`conductor explain RULE` says more about a rule")
	}
	return "<sub>" + strings.Join(parts, " · ") + "</sub>\n"
}
