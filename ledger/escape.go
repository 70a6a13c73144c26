package ledger

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// maxTextRunes bounds user text on a page; the Statement has all of it.
const maxTextRunes = 300

// plain makes user text one harmless line: control, format (bidirectional,
// zero-width), private and line-separating characters become U+FFFD, runs of
// space one space, and the length is bounded.
func plain(s string) string {
	var b strings.Builder
	space, n := false, 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if n == maxTextRunes {
			b.WriteRune('…')
			break
		}
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
			n++
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// markdownSpecial are the characters that mean something in GitHub's Markdown:
// written as entities they are text wherever they stand. ":" ends autolinks and
// emoji codes, "$" mathematics, "@" and "#" references.
const markdownSpecial = "&<>\"'\\`*_{}[]()#+!|~@:=$^-"

// md makes user text safe in a Markdown paragraph, list or table cell: it can't
// close the cell, make markup or a link, nor mention anybody.
func md(s string) string {
	var b strings.Builder
	text := plain(s)
	for i, r := range text {
		switch {
		case r == '@':
			// The zero-width space keeps a name from becoming a mention after the
			// entity is decoded.
			b.WriteString("&#64;&#8203;")
		case r == '-' && i > 0 && i+1 < len(text):
			b.WriteByte('-')
		case r == '.' && i >= 3 && strings.EqualFold(text[i-3:i], "www"):
			b.WriteString("&#46;")
		case r == '.' && strings.Trim(text[:i], "0123456789") == "":
			b.WriteString("&#46;") // would number a list
		case r < 128 && strings.ContainsRune(markdownSpecial, r):
			b.WriteString("&#" + itoa(int(r)) + ";")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// codeSafe replaces what could end a code span or a table cell.
var codeSafe = strings.NewReplacer("`", "'", "|", "¦")

// code shows user text in a code span, which no text can leave.
func code(s string) string {
	text := codeSafe.Replace(plain(s))
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

var safeURL = regexp.MustCompile(`^https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._~/%+=&?,;-]*)?$`)

// link makes a Markdown link if target is a plain web address, else text only.
func link(text, target string) string {
	if !webURL(target) {
		return text
	}
	return "[" + text + "](" + target + ")"
}

func webURL(s string) bool {
	if len(s) > 500 || !safeURL.MatchString(s) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil
}
