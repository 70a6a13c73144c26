package render

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/conductor-dev/conductor/manifests"
)

// How many runes of a foreign field are shown. Names and paths in real
// repositories are far shorter; the limits bound a row's size.
const (
	maxName    = 200
	maxMessage = 400
	maxDetail  = 120
)

// maxURL is the longest link in bytes; a longer one is left out.
const maxURL = 1000

// clean makes foreign text one visible line of at most max runes: white space
// becomes a space, and what has no shape of its own (control, bidirectional and
// zero-width characters, invalid UTF-8) becomes U+FFFD, so that a reader sees
// that something is there.
func clean(s string, max int) string {
	var b strings.Builder
	n, marks := 0, 0
	for _, r := range strings.TrimFunc(s, unicode.IsSpace) {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
			r = unicode.ReplacementChar
		}
		// A tower of combining marks would cover the lines above it.
		if unicode.Is(unicode.M, r) {
			if marks++; marks > 4 {
				continue
			}
		} else {
			marks = 0
		}
		if n++; n >= max {
			return b.String() + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

// codeText is clean text for a code span. A backtick would end the span and a
// pipe would end the table cell in which it may stand (even inside a code span,
// see GFM 4.10), so both become their closest look-alikes.
var codeText = strings.NewReplacer("`", "ˋ", "|", "│")

// code is a code span: the one place in Markdown where GitHub interprets
// nothing, neither mentions, references, links, emoji nor HTML.
func code(s string) string {
	s = strings.TrimSpace(codeText.Replace(clean(s, maxName)))
	if s == "" {
		return "`(empty)`"
	}
	return "`" + s + "`"
}

// plainWord matches words that mean nothing but themselves in Markdown and to
// GitHub: letters with inner apostrophes and hyphens, short numbers and
// quantities, amounts, "e.g.". A word with a hyphen has no digit, so that it is
// no issue reference (GH-12).
var plainWord = regexp.MustCompile(`^(?:\p{L}+(?:['’-]\p{L}+)*|\d{1,6}(?:[.,]\d{1,6})*%?|\d{1,5}[A-Za-z]{1,2}|[+-]?\$\d[\d,]*(?:\.\d+)?|[a-z]\.[a-z])$`)

// hexWord matches what GitHub would link as a commit.
var hexWord = regexp.MustCompile(`^[0-9a-fA-F]{7,}$`)

// prose is a foreign sentence in Markdown: plain words stay as they are, any
// other word becomes a code span of its own. It must not start a line.
func prose(s string) string { return shortProse(s, maxMessage) }

func shortProse(s string, max int) string {
	words := strings.Fields(clean(s, max))
	if len(words) == 0 {
		return code("")
	}
	for i, w := range words {
		words[i] = proseWord(w)
	}
	return strings.Join(words, " ")
}

func proseWord(w string) string {
	switch w {
	case "->", "=>", "→":
		return "→"
	case "-", "–", "·":
		return "–"
	}
	core := strings.TrimLeft(w, `"'(`)
	lead := w[:len(w)-len(core)]
	core = strings.TrimRight(core, `"'),.:;!?`)
	trail := w[len(lead)+len(core):]
	if core == "" {
		return code(w)
	}
	if plainWord.MatchString(core) && !hexWord.MatchString(core) {
		return w
	}
	// The code span already sets a quoted name off.
	for _, q := range []string{`"`, `'`} {
		if strings.HasSuffix(lead, q) && strings.HasPrefix(trail, q) {
			lead, trail = strings.TrimSuffix(lead, q), strings.TrimPrefix(trail, q)
			break
		}
	}
	return lead + code(core) + trail
}

// sentence is prose that ends with a full stop.
func sentence(s string) string {
	p := prose(s)
	if strings.HasSuffix(p, ".") || strings.HasSuffix(p, "!") || strings.HasSuffix(p, "?") {
		return p
	}
	return p + "."
}

// webHost matches hosts that can stand in a link as they are.
var webHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(?::[0-9]+)?$`)

// blobURL is the page of a file's line at a commit, "" where no safe link can be
// made: repository URLs that aren't plain http(s), odd commits, paths that a
// browser would resolve elsewhere, and over-long ones.
func blobURL(repository, commit, path string, line int) string {
	u, err := url.Parse(repository)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || !webHost.MatchString(u.Host) ||
		!hexWord.MatchString(commit) || path == "" {
		return ""
	}
	for _, part := range strings.Split(path, "/") {
		if part == "" || part == "." || part == ".." {
			return ""
		}
	}
	link := u.Scheme + "://" + u.Host + escapePath(strings.TrimSuffix(u.Path, "/")) + "/blob/" + commit + "/" + escapePath(path)
	if line > 0 {
		link += "#L" + strconv.Itoa(line)
	}
	if len(link) > maxURL {
		return ""
	}
	return link
}

// escapePath percent-encodes every byte but unreserved ones (RFC 3986, 2.3) and
// slashes: nothing is left that could end a Markdown link.
func escapePath(p string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// environment is the name that people read: "" is "unassigned".
func environment(e manifests.Environment) string {
	if e == "" {
		return "unassigned"
	}
	return string(e)
}

// tenant is the name that people read: "" is "untagged".
func tenant(t manifests.TenantID) string {
	if t == "" {
		return string(manifests.Untagged)
	}
	return string(t)
}
