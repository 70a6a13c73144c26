package hub

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pullView is a pull request as people see it.
type pullView struct {
	Number       int
	Title, State string
	User         string
	Base, Head   string
	HeadSHA      string
	MergeSHA     string
	MergedBy     string
	Commits      int
	Additions    int
	Deletions    int
	Timeline     []event
	Checks       []checkView
	Failing      int
	Pending      int
	Mergeable    bool
	Files        []*fileView
}

// event is one item of the conversation.
type event struct {
	Kind  string // body, comment, commit, review, merged
	ID    string // anchor
	User  string
	Bot   bool
	When  time.Time
	HTML  template.HTML
	State string // of a review
	SHA   string
	Text  string
	URL   string
}

type checkView struct {
	Name, App   string
	Status      string
	Conclusion  string
	Title       string
	Summary     template.HTML
	Text        template.HTML
	Annotations int
	Took        string
	ID          string
}

// fileView is a file of a diff with the annotations on it.
type fileView struct {
	Path, URL, Status    string
	Additions, Deletions int
	Rows                 []diffRow
	Loose                []annotationView // on the whole file
}

type diffRow struct {
	Kind     string // hunk, add, del, same
	Old, New int    // line numbers; 0 is none
	Text     string
	Notes    []annotationView
}

type annotationView struct {
	Level, Title, Message, Raw, Check string
	Start, End                        int
	placed                            bool
}

func (h *Hub) pullPage(out *page, p *pull) *page {
	h.tryMerge(p)
	v := pullView{Number: p.number, Title: p.title, State: p.look(), User: p.user.login, Base: p.baseRef, HeadSHA: p.headSHA,
		Head: p.headRef, MergeSHA: p.mergeSHA, Commits: p.test.commits, Additions: p.test.additions, Deletions: p.test.deletions,
		Mergeable: p.test.mergeable}
	if p.head != p.repo {
		v.Head = p.head.owner.login + ":" + p.headRef
	}
	if p.mergedBy != nil {
		v.MergedBy = p.mergedBy.login
	}
	v.Timeline = h.timeline(p)
	notes := h.checkViews(p, &v)
	base := p.baseTip(h)
	v.Files = h.fileViews(p.repo, base+"..."+p.headSHA, p.headSHA, notes)
	out.Tab, out.Title, out.Body = "pulls", fmt.Sprintf("%s · Pull request #%d · %s", p.title, p.number, p.repo.full()), &v
	if p.closed == nil {
		out.Refresh = 10
	}
	return out
}

func (h *Hub) timeline(p *pull) []event {
	md := func(s string) template.HTML { return renderMarkdown(s, true, "") }
	body := p.body
	if strings.TrimSpace(body) == "" {
		body = "*No description provided.*"
	}
	all := []event{{Kind: "body", User: p.user.login, When: p.created, HTML: md(body)}}
	if commits, err := h.commits(p.repo, false, "--reverse", p.baseTip(h)+".."+p.headSHA); err == nil {
		for _, k := range commits {
			c := h.commitView(p.repo, k)
			when := k.committer.when
			if when.Before(p.created) {
				when = p.created
			}
			all = append(all, event{Kind: "commit", User: c.Author, When: when, SHA: k.sha, Text: k.message, URL: c.URL})
		}
	}
	for _, k := range p.comments {
		all = append(all, event{Kind: "comment", ID: "issuecomment-" + itoa(k.id), User: k.user.login, Bot: k.user.kind == "Bot", When: k.created, HTML: md(k.body)})
	}
	for _, r := range p.reviews {
		all = append(all, event{Kind: "review", ID: "pullrequestreview-" + itoa(r.id), User: r.user.login, Bot: r.user.kind == "Bot", When: r.submitted,
			State: strings.ToLower(strings.ReplaceAll(r.state, "_", " ")), HTML: md(r.body), SHA: r.commit, Text: r.body})
	}
	if p.merged != nil {
		all = append(all, event{Kind: "merged", User: p.mergedBy.login, When: *p.merged, SHA: p.mergeSHA, Text: p.baseRef,
			URL: h.url + "/" + p.repo.full() + "/commit/" + p.mergeSHA})
	}
	slices.SortStableFunc(all, func(a, b event) int { return a.When.Compare(b.When) })
	return all
}

// checkViews fills in the latest run of each check on the head and returns their
// annotations by path.
func (h *Hub) checkViews(p *pull, v *pullView) map[string][]*annotationView {
	notes := map[string][]*annotationView{}
	for _, s := range sorted(h.suites) {
		if s.repo != p.repo || s.sha != p.headSHA {
			continue
		}
		latest := map[string]*checkRun{}
		for _, r := range s.runs {
			latest[r.name] = r
		}
		for _, r := range latest {
			c := checkView{Name: r.name, App: s.app.Name, Status: r.status, Conclusion: r.conclusion, Annotations: len(r.annotations), ID: "check-" + itoa(r.id)}
			if r.title != nil {
				c.Title = *r.title
			}
			if r.summary != nil {
				c.Summary = renderMarkdown(*r.summary, true, "")
			}
			if r.text != nil {
				c.Text = renderMarkdown(*r.text, true, "")
			}
			switch {
			case r.status != "completed":
				v.Pending++
			case r.conclusion == "failure" || r.conclusion == "timed_out" || r.conclusion == "action_required" || r.conclusion == "cancelled":
				v.Failing++
			}
			v.Checks = append(v.Checks, c)
			for _, a := range r.annotations {
				n := &annotationView{Level: a.Level, Message: a.Message, Check: r.name, Start: *a.StartLine, End: *a.EndLine}
				if a.Title != nil {
					n.Title = *a.Title
				}
				if a.RawDetails != nil {
					n.Raw = *a.RawDetails
				}
				notes[a.Path] = append(notes[a.Path], n)
			}
		}
	}
	slices.SortFunc(v.Checks, func(a, b checkView) int { return cmp.Compare(a.Name, b.Name) })
	for _, list := range notes {
		slices.SortStableFunc(list, func(a, b *annotationView) int {
			return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Message, b.Message))
		})
	}
	return notes
}

// maxRows bounds the lines of one file's diff on a page.
const maxRows = 2000

// fileViews shows a diff with the annotations under their lines. What is annotated
// outside the diff is shown with the lines around it.
func (h *Hub) fileViews(r *repo, rng, at string, notes map[string][]*annotationView) []*fileView {
	files, err := h.diff(r, rng, at)
	if err != nil {
		h.log.Error("diff for a page", "repo", r.full(), "err", err)
		return nil
	}
	var out []*fileView
	for _, f := range files[:min(len(files), 300)] {
		e := f.(obj)
		v := &fileView{Path: e["filename"].(string), URL: e["blob_url"].(string), Status: e["status"].(string),
			Additions: e["additions"].(int), Deletions: e["deletions"].(int)}
		if patch, ok := e["patch"].(string); ok {
			v.Rows = diffRows(patch)
		}
		v.place(notes[v.Path])
		h.placeOutside(v, r, at, notes[v.Path])
		delete(notes, v.Path)
		out = append(out, v)
	}
	for path, list := range notes {
		v := &fileView{Path: path, Status: "unchanged", URL: h.url + "/" + r.full() + "/blob/" + at + "/" + escapePath(path)}
		h.placeOutside(v, r, at, list)
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b *fileView) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func (v *fileView) place(notes []*annotationView) {
	for _, n := range notes {
		for i := range v.Rows {
			if v.Rows[i].New == n.End && v.Rows[i].New > 0 && !n.placed {
				v.Rows[i].Notes, n.placed = append(v.Rows[i].Notes, *n), true
			}
		}
	}
}

// placeOutside adds excerpts of the file for annotations that no row of the diff has.
func (h *Hub) placeOutside(v *fileView, r *repo, at string, notes []*annotationView) {
	var lines []string
	for _, n := range notes {
		if n.placed {
			continue
		}
		if lines == nil {
			text, _ := h.blob(r, at, v.Path)
			lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		}
		lo, hi := max(1, n.Start-3), min(len(lines), n.End+3)
		if n.End > len(lines) || hi-lo > 200 {
			v.Loose = append(v.Loose, *n)
			continue
		}
		v.Rows = append(v.Rows, diffRow{Kind: "hunk", Text: fmt.Sprintf("lines %d to %d", lo, hi)})
		for i := lo; i <= hi; i++ {
			row := diffRow{Kind: "same", Old: i, New: i, Text: lines[i-1]}
			for _, m := range notes {
				if !m.placed && m.End == i {
					row.Notes, m.placed = append(row.Notes, *m), true
				}
			}
			v.Rows = append(v.Rows, row)
		}
	}
}

func diffRows(patch string) []diffRow {
	var rows []diffRow
	old, now := 0, 0
	for line := range strings.SplitSeq(patch, "\n") {
		if len(rows) >= maxRows {
			return append(rows, diffRow{Kind: "hunk", Text: "… the rest of the diff is not shown"})
		}
		switch {
		case strings.HasPrefix(line, "@@ "):
			f := strings.Fields(line)
			old, now = hunkStart(f[1]), hunkStart(f[2])
			rows = append(rows, diffRow{Kind: "hunk", Text: line})
		case strings.HasPrefix(line, "+"):
			rows = append(rows, diffRow{Kind: "add", New: now, Text: line[1:]})
			now++
		case strings.HasPrefix(line, "-"):
			rows = append(rows, diffRow{Kind: "del", Old: old, Text: line[1:]})
			old++
		case strings.HasPrefix(line, " "):
			rows = append(rows, diffRow{Kind: "same", Old: old, New: now, Text: line[1:]})
			old++
			now++
		}
	}
	return rows
}

func hunkStart(s string) int {
	s, _, _ = strings.Cut(s[1:], ",")
	n, _ := strconv.Atoi(s) // git wrote it
	return n
}
