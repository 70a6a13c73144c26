package render

import (
	"strconv"
	"strings"
)

// section is a part of a page that can lose rows but is never cut: a heading,
// rows, and an end. Only the rows that are shown are made.
type section struct {
	head string
	n    int                // how many rows there are
	row  func(i int) string // ends with a newline; may be several lines
	tail string
	// share is the most bytes that the section may take, most the most rows.
	share, most int
	// more says in a row of its own how many rows were dropped.
	more func(n int) string
}

// moreItems ends a list.
func moreItems(n int) string { return "- … and " + strconv.Itoa(n) + " more\n" }

// String renders the section within its share; "" when there are no rows.
func (s section) String() string {
	if s.n == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(s.head)
	room := s.share - len(s.head) - len(s.tail) - len(s.more(s.n))
	shown := 0
	for shown < min(s.n, s.most) {
		row := s.row(shown)
		if room -= len(row); room < 0 {
			break
		}
		b.WriteString(row)
		shown++
	}
	if shown < s.n {
		b.WriteString(s.more(s.n - shown))
	}
	b.WriteString(s.tail)
	return b.String()
}

// count is "1 problem", "2 problems".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}
