package ledger

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conductor-dev/conductor/manifests"
)

func itoa(n int) string { return strconv.Itoa(n) }

// page is the Markdown page of an entry, made from its Statement alone, so that
// a verifier makes the same bytes again. A first line says so.
func page(p *Public, e *entry) []byte {
	if e.key != nil {
		return keyPage(e)
	}
	return changePage(p, e.change)
}

func changePage(p *Public, c *Change) []byte {
	var b strings.Builder
	name := EntryName(c.Number)
	fmt.Fprintf(&b, "# %s: %s\n\n", name, md(title(c)))
	fmt.Fprintf(&b, "%s\n\n", sentence(c))
	fmt.Fprintf(&b, "| Repository | %s |\n| --- | --- |\n", link(md(c.Repository.Name), c.Repository.URL))
	row := func(k, v string) {
		if v != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", k, v)
		}
	}
	row("Branch", code(c.Branch))
	row("Commit", commitLink(c.Repository.URL, c.Commit)+" "+md(c.Subject))
	row("Before", commitLink(c.Repository.URL, c.Previous))
	if c.PullRequest != nil {
		row("Pull request", link(fmt.Sprintf("&#35;%d", c.PullRequest.Number), c.PullRequest.URL)+" "+md(c.PullRequest.Title))
		row("Opened by", person(c.PullRequest.Author))
	}
	row("Author", person(c.Author))
	row("Committer", person(c.Committer))
	if c.Merger != nil {
		row("Merged by", person(*c.Merger))
	}
	row("Tenants", each(c.Tenants, code))
	row("Change class", classText(c.Class))
	row("Merged", stamp(c.MergedAt))
	row("Recorded", stamp(c.RecordedAt))
	row("Not known", each(c.Unknown, md))
	row("Dropped from the branch", each(c.Rewrote, code))
	writeSemantic(&b, c)
	writeReviews(&b, c)
	writeChecks(&b, c)
	writeCost(&b, c)
	writeEvidence(&b, p, c)
	return []byte(b.String())
}

// title is what people called the change: the pull request's title, else the
// commit's.
func title(c *Change) string {
	if c.PullRequest != nil && c.PullRequest.Title != "" {
		return c.PullRequest.Title
	}
	return orElse(c.Subject, "(no subject)")
}

// sentence says in one line who did what, how, and whether it was approved.
func sentence(c *Change) string {
	who := c.Author
	verb := "committed this"
	if c.Merger != nil {
		who = *c.Merger
	}
	switch c.Method {
	case MethodMerge:
		verb = "merged this"
	case MethodSquash:
		verb = "squashed and merged this"
	case MethodRebase:
		verb = "rebased and merged this"
	case MethodDirectPush:
		verb = "pushed this directly, without a pull request,"
	}
	approval := "Who reviewed it is not known."
	if c.Reviews != nil {
		approval = "**Nobody approved what was merged.**"
		var approvers []string
		for _, r := range c.Reviews {
			if r.ApprovedFinalHead {
				approvers = append(approvers, person(r.Reviewer))
			}
		}
		if len(approvers) > 0 {
			approval = strings.Join(approvers, ", ") + " approved exactly what was merged."
		}
	}
	return fmt.Sprintf("%s %s on %s. %s", person(who), verb, c.MergedAt.UTC().Format("2 January 2006"), approval)
}

func writeSemantic(b *strings.Builder, c *Change) {
	b.WriteString("\n## What changed\n\n")
	if len(c.Semantic) == 0 {
		b.WriteString("Nothing that a tenant's resources say in words; see the diff.\n")
	}
	for _, s := range c.Semantic {
		fmt.Fprintf(b, "- %s %s", md(s.Kind), code(s.Resource))
		if s.Tenant != "" {
			fmt.Fprintf(b, " of tenant %s", code(s.Tenant))
		}
		if s.Environment != "" {
			fmt.Fprintf(b, " in %s", code(s.Environment))
		}
		if s.Policy {
			b.WriteString(" **(policy)**")
		}
		fmt.Fprintf(b, ", %s\n", code(s.File))
		for _, d := range s.Details {
			fmt.Fprintf(b, "  - %s\n", md(strings.ReplaceAll(d, " -> ", " → ")))
		}
	}
	if c.SemanticOmitted > 0 {
		fmt.Fprintf(b, "- and %d more, left out for length; the diff has them\n", c.SemanticOmitted)
	}
}

func writeReviews(b *strings.Builder, c *Change) {
	b.WriteString("\n## Reviews\n\n")
	switch {
	case c.Reviews == nil:
		b.WriteString("Not known: no forge was asked.\n")
		return
	case len(c.Reviews) == 0:
		b.WriteString("None.\n")
		return
	}
	b.WriteString("| Reviewer | Said | On commit | When | Counts for what was merged |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range c.Reviews {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n",
			person(r.Reviewer), md(r.State), code(short(r.Commit)), stamp(r.SubmittedAt), counts(r, c))
	}
}

// counts says why a review does or doesn't approve the merged head.
func counts(r Review, c *Change) string {
	switch {
	case r.ApprovedFinalHead:
		return "yes"
	case r.State != "APPROVED":
		return "no"
	case r.Commit != orElse(c.Head, c.Commit):
		return "no: stale, given before the last push"
	default:
		return "no: by the author, or withdrawn later"
	}
}

func writeChecks(b *strings.Builder, c *Change) {
	b.WriteString("\n## Checks\n\n")
	switch {
	case c.Checks == nil:
		b.WriteString("Not known: no forge was asked.\n")
	case len(c.Checks) == 0:
		b.WriteString("None ran.\n")
	default:
		b.WriteString("| Check | Result |\n| --- | --- |\n")
		for _, k := range c.Checks {
			fmt.Fprintf(b, "| %s | %s |\n", md(k.Name), md(k.Conclusion))
		}
	}
}

func writeCost(b *strings.Builder, c *Change) {
	if len(c.Cost) == 0 {
		return
	}
	b.WriteString("\n## Estimated cost, per month\n\n| Environment | Before | After | Change | |\n| --- | ---: | ---: | ---: | --- |\n")
	for _, d := range c.Cost {
		bound := ""
		if d.LowerBound {
			bound = "at least: something has no price"
		}
		before, after, change := amounts(d)
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", md(orElse(d.Environment, "unassigned")), before, after, change, bound)
	}
}

// amounts prints a cost rounded to cents; the statement has it exactly. What isn't
// a number is shown as it stands there.
func amounts(d CostDelta) (before, after, change string) {
	b, errB := decimal.NewFromString(clip(d.Before, 60))
	a, errA := decimal.NewFromString(clip(d.After, 60))
	if errB != nil || errA != nil || b.Exponent() > 30 || a.Exponent() > 30 {
		return md(d.Before), md(d.After), ""
	}
	was, is := manifests.Money{Amount: b, Currency: d.Currency}, manifests.Money{Amount: a, Currency: d.Currency}
	return money(was.String()), money(is.String()), money(is.Sub(was).Signed())
}

// money escapes what a currency's name could bring; digits and signs stay readable.
func money(s string) string {
	for _, r := range s {
		if !strings.ContainsRune("0123456789.,+-$ ", r) && (r < 'A' || r > 'Z') {
			return md(s)
		}
	}
	return s
}

func writeEvidence(b *strings.Builder, p *Public, c *Change) {
	name := EntryName(c.Number)
	b.WriteString("\n## Evidence\n\n")
	switch {
	case c.Diff.Stored:
		fmt.Fprintf(b, "- [%s.patch](%s.patch): %s, +%d −%d, %d bytes, SHA-256 `%s`\n",
			name, name, files(c.Diff.Files), c.Diff.Additions, c.Diff.Deletions, c.Diff.Bytes, c.Diff.SHA256)
	case c.Diff.SHA256 != "":
		fmt.Fprintf(b, "- the diff (%d bytes, %s, +%d −%d) is not stored here; SHA-256 `%s`\n",
			c.Diff.Bytes, files(c.Diff.Files), c.Diff.Additions, c.Diff.Deletions, c.Diff.SHA256)
	}
	if len(c.Diff.Withheld) > 0 {
		fmt.Fprintf(b, "- withheld from the diff, because they hold a Secret or can't be read: %s\n", each(c.Diff.Withheld, code))
	}
	fmt.Fprintf(b, "- [%s.json](%s.json): the signed statement\n", name, name)
	fmt.Fprintf(b, "- [%s.sigstore.json](%s.sigstore.json): signature and proof of inclusion, a Sigstore bundle\n", name, name)
	if c.PolicyDigest != "" {
		fmt.Fprintf(b, "- judged by the policy with SHA-256 %s\n", code(c.PolicyDigest))
	}
	fmt.Fprintf(b, "\n## Verify\n\nIn a clone of this repository:\n\n```sh\n%s\n```\n", cosignCommand(p, c.Number, c.Commit))
	fmt.Fprintf(b, "\nThe [front page](../../../README.md) has the commands for git, ssh-keygen and openssl. This page is made from the statement; %s.\n", EntryURI(c.Number))
}

func keyPage(e *entry) []byte {
	var b strings.Builder
	k := e.key
	fmt.Fprintf(&b, "# %s: the keys of this ledger\n\n", EntryName(k.Number))
	fmt.Fprintf(&b, "Entries and commits are signed with key `%s` by `%s`, valid from %s. The log is called `%s`.\n\n", k.KeyID, k.Principal, stamp(k.ValidFrom), k.Origin)
	b.WriteString("Compare these with a copy that did not come from this repository:\n\n```\n")
	b.WriteString(k.EntryKey)
	b.WriteString(k.LogKey + "\n```\n\n| File | SHA-256 |\n| --- | --- |\n")
	for _, s := range e.subjects {
		fmt.Fprintf(&b, "| [%s](../../../%s) | `%s` |\n", s.Name, s.Name, s.Digest["sha256"])
	}
	fmt.Fprintf(&b, "\nRecorded %s; %s.\n", stamp(k.RecordedAt), k.URI)
	return []byte(b.String())
}

// cosignCommand verifies one entry with cosign, offline, log included.
func cosignCommand(p *Public, n int64, commit string) string {
	return fmt.Sprintf("cosign verify-blob-attestation --key keys/%s.pub --trusted-root keys/trusted_root.json \\\n"+
		"  --bundle %s.sigstore.json --type %s \\\n  --digest %s --digestAlg gitCommit", p.ID, entryBase(n), PredicateType, commit)
}

// summary is an entry's line on README.md and on the day pages. up leads from
// the page to the root.
func summary(e *entry, up string) string {
	name := EntryName(e.number)
	target := up + EntryPath(e.number)
	if e.key != nil {
		return fmt.Sprintf("| [%s](%s) | %s | | keys: %s | |\n", name, target, e.key.RecordedAt.UTC().Format("2006-01-02 15:04"), e.key.Event)
	}
	c := e.change
	who := c.Author
	if c.Merger != nil {
		who = *c.Merger
	}
	tenants := c.Tenants
	more := ""
	if len(tenants) > 3 {
		tenants, more = tenants[:3], fmt.Sprintf(" and %d more", len(c.Tenants)-3)
	}
	return fmt.Sprintf("| [%s](%s) | %s | %s%s | %s | %s %s |\n", name, target,
		c.MergedAt.UTC().Format("2006-01-02 15:04"), each(tenants, code), more, md(clip(title(c), 80)), person(who), md(string(c.Method)))
}

const summaryHead = "| Entry | When (UTC) | Tenants | What | Who |\n| --- | --- | --- | --- | --- |\n"

// dayPage is a tenant's day page with its rows.
func dayPage(tenant string, day time.Time, pageNumber int, rows []string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s on %s", md(tenant), day.UTC().Format("2 January 2006"))
	if pageNumber > 1 {
		fmt.Fprintf(&b, ", page %d", pageNumber)
	}
	b.WriteString("\n\n" + summaryHead)
	b.WriteString(strings.Join(rows, ""))
	return []byte(b.String())
}

// rowsOf takes the summary lines back out of a page.
func rowsOf(page []byte) []string {
	var rows []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| [CL-") {
			rows = append(rows, line)
		}
	}
	return rows
}

// dayUp leads from a day page (index/tenant/T/YYYY/MM/DD.md) to the root.
const dayUp = "../../../../../"

func person(p Person) string {
	switch {
	case p.Login != "" && p.ID != 0:
		return fmt.Sprintf("%s (id %d)", md(p.Login), p.ID)
	case p.Login != "":
		return md(p.Login)
	case p.Name != "" && p.Email != "":
		return md(p.Name) + " &lt;" + md(p.Email) + "&gt;"
	default:
		return md(orElse(p.Name, orElse(p.Email, "unknown")))
	}
}

func classText(c Class) string {
	if c.Value == "" {
		return ""
	}
	if c.DecidedBy == "" {
		return md(c.Value)
	}
	return md(c.Value) + ", decided by " + md(c.DecidedBy)
}

func commitLink(repoURL, sha string) string {
	if sha == "" {
		return ""
	}
	if !shaPattern.MatchString(sha) {
		return code(sha)
	}
	return link("`"+sha+"`", strings.TrimSuffix(strings.TrimSuffix(repoURL, "/"), ".git")+"/commit/"+sha)
}

func each(list []string, show func(string) string) string {
	var out []string
	for _, s := range list {
		out = append(out, show(s))
	}
	return strings.Join(out, ", ")
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return itoa(n) + " files"
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func short(sha string) string { return clip(sha, 12)[:min(len(sha), 12)] }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// days groups what a batch adds to the day pages.
type dayKey struct {
	tenant string
	day    string // 2006-01-02
}

func (k dayKey) time() time.Time {
	t, _ := time.Parse("2006-01-02", k.day)
	return t
}

// dayRows are the new day-page lines of entries, in a fixed order.
func dayRows(entries []*entry) ([]dayKey, map[dayKey][]string) {
	rows := map[dayKey][]string{}
	for _, e := range entries {
		if e.change == nil {
			continue
		}
		line := summary(e, dayUp)
		seen := map[string]bool{}
		for _, t := range e.change.Tenants {
			if seen[t] {
				continue
			}
			seen[t] = true
			k := dayKey{t, e.change.MergedAt.UTC().Format("2006-01-02")}
			rows[k] = append(rows[k], line)
		}
	}
	keys := make([]dayKey, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		return keys[i].tenant < keys[j].tenant || keys[i].tenant == keys[j].tenant && keys[i].day < keys[j].day
	})
	return keys, rows
}
