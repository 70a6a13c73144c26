package render

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/conductor-dev/conductor/manifests"
)

// Options say what a terminal can do.
type Options struct {
	Color bool
	Width int // columns to wrap sentences at; 0 never wraps
}

// Text writes a verdict for a person at a terminal: problems, then changes, then
// the cost table, and the verdict in the last line. Findings that were there
// before the change are counted, not listed.
func Text(w io.Writer, v manifests.Verdict, o Options) error {
	t := terminal{o: o}
	tally := newTally(v.Findings, all)
	for _, group := range [][]manifests.Finding{tally.errors, tally.warnings, tally.notices} {
		for _, f := range group {
			t.finding(f)
		}
	}
	t.changes(v.Changes)
	t.cost(v)
	t.verdict(v, tally)
	_, err := io.WriteString(w, t.b.String())
	return err
}

// terminal collects lines of output. Foreign text passes clean, which leaves no
// control character.
type terminal struct {
	o Options
	b strings.Builder
}

// SGR parameters (ECMA-48, 8.3.117).
const (
	bold   = "1"
	faint  = "2"
	red    = "1;31"
	green  = "1;32"
	yellow = "1;33"
	cyan   = "36"
)

func (t *terminal) paint(style, s string) string {
	if !t.o.Color {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// finding prints "file:line:col: error: what is wrong [rule]" and its remedy.
func (t *terminal) finding(f manifests.Finding) {
	style := map[manifests.Severity]string{manifests.SeverityError: red, manifests.SeverityWarning: yellow}[f.Severity]
	if style == "" {
		style = cyan
	}
	place := fmt.Sprintf("%s:%d:%d", clean(f.File, maxName), f.Line, f.Column)
	fmt.Fprintf(&t.b, "%s: %s: %s\n", t.paint(bold, place), t.paint(style, clean(string(f.Severity), 20)), t.paint(faint, clean(f.Rule, maxName)))
	t.wrap("    ", "    ", clean(f.Message, maxMessage))
	if f.Remedy != "" {
		t.wrap("    fix: ", "         ", clean(f.Remedy, maxMessage))
	}
	t.b.WriteByte('\n')
}

func (t *terminal) changes(changes []manifests.Change) {
	if len(changes) == 0 {
		return
	}
	t.b.WriteString(t.paint(bold, "What changes") + "\n")
	for _, c := range changes {
		line := clean(tenant(c.Tenant), maxName)
		if c.Environment != "" {
			line += " in " + clean(string(c.Environment), maxName)
		}
		if c.Kind == manifests.Opaque {
			line += ": " + clean(c.File, maxName) + " changed in a way that can't be judged"
		} else {
			line += ": " + string(c.Kind) + " " + clean(c.Resource, maxName)
		}
		for i, d := range c.Details {
			sep := "; "
			if i == 0 {
				sep = ": "
			}
			line += sep + clean(d, maxMessage)
		}
		if c.Policy {
			line += " (policy: takes effect once merged)"
		}
		t.wrap("  ", "    ", line)
	}
	t.b.WriteByte('\n')
}

func (t *terminal) cost(v manifests.Verdict) {
	tree := !v.Compared
	rows := [][]string{{"ENVIRONMENT", "NOW", "AFTER", "CHANGE", "BUDGET", "HEADROOM", "CHECK"}}
	if tree {
		rows = [][]string{{"ENVIRONMENT", "COST A MONTH", "BUDGET", "HEADROOM", "CHECK"}}
	}
	for _, e := range v.Cost.Environments {
		rows = append(rows, costRow(e, tree))
		if tree {
			continue
		}
		for _, m := range movers(e.Tenants) {
			rows = append(rows, []string{"  " + clean(tenant(m.Tenant), maxName), m.Base.String(), m.Head.String(), m.Delta.Signed(), "", "", ""})
		}
	}
	if len(rows) > 1 {
		t.table(rows)
		t.b.WriteByte('\n')
	}
	list, older := unpriced(v)
	if older > 0 {
		t.b.WriteString(olderUnpriced(older) + "\n\n")
	}
	if len(list) == 0 {
		return
	}
	t.b.WriteString(t.paint(bold, "Not priced, so the totals are lower bounds") + "\n")
	const most = 20
	for _, u := range list[:min(most, len(list))] {
		t.wrap("  ", "    ", fmt.Sprintf("%s:%d: %s: %s", clean(u.File, maxName), u.Line, clean(u.Resource, maxName), clean(u.Reason, maxMessage)))
	}
	if n := len(list) - most; n > 0 {
		fmt.Fprintf(&t.b, "  … and %d more\n", n)
	}
	t.b.WriteByte('\n')
}

func costRow(e manifests.EnvironmentCost, tree bool) []string {
	budget, headroom := "none", ""
	if e.Budget != nil {
		budget = e.Budget.String()
	}
	if e.Headroom != nil {
		headroom = e.Headroom.String()
	}
	check := map[manifests.Conclusion]string{manifests.Success: "ok", manifests.Failure: "OVER"}[e.Check]
	if check == "" {
		check = "-"
	}
	name := clean(environment(e.Environment), maxName)
	if tree {
		return []string{name, atLeast(e.Head, e.LowerBound), budget, headroom, check}
	}
	return []string{name, e.Base.String(), atLeast(e.Head, e.LowerBound), e.Delta.Signed(), budget, headroom, check}
}

// verdict is the last line.
func (t *terminal) verdict(v manifests.Verdict, n tally) {
	if len(n.existing) > 0 {
		fmt.Fprintf(&t.b, "%s: there before this change, and not counted against it.\n", count(len(n.existing), "older problem"))
	}
	counts := count(len(n.errors), "problem")
	if len(n.warnings) > 0 {
		counts += ", " + count(len(n.warnings), "warning")
	}
	line := fmt.Sprintf("%s in %s", counts, count(v.Files, "file"))
	if v.Failed() {
		if len(n.errors) == 0 {
			for _, c := range []manifests.CheckResult{v.Tenants, v.Budget} {
				if c.Conclusion == manifests.Failure {
					line = clean(c.Title, maxMessage)
				}
			}
		}
		fmt.Fprintf(&t.b, "%s %s\n", t.paint(red, "FAIL"), line)
		return
	}
	fmt.Fprintf(&t.b, "%s %s\n", t.paint(green, "PASS"), line)
}

// table aligns columns: the first to the left, the others to the right.
func (t *terminal) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line.WriteString(cell + pad)
			} else {
				line.WriteString("  " + pad + cell)
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = t.paint(bold, text)
		} else if r[len(r)-1] == "OVER" {
			text = t.paint(red, text)
		}
		t.b.WriteString(text + "\n")
	}
}

// wrap writes text behind first, and further lines behind rest.
func (t *terminal) wrap(first, rest, text string) {
	prefix, line := first, ""
	for _, w := range strings.Fields(text) {
		if line != "" && t.o.Width > 0 && utf8.RuneCountInString(prefix+line)+1+utf8.RuneCountInString(w) > t.o.Width {
			t.b.WriteString(prefix + line + "\n")
			prefix, line = rest, ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	t.b.WriteString(prefix + line + "\n")
}
