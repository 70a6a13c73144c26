package hub

import (
	"bytes"
	"html/template"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	source "github.com/yuin/goldmark/text"
)

// sanitizer lets through what GitHub does: formatted text, no scripts or styles.
var sanitizer = func() *bluemonday.Policy {
	p := bluemonday.UGCPolicy()
	p.AllowElements("details", "summary")
	p.AllowAttrs("open").OnElements("details")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^language-[\w+-]+$`)).OnElements("code")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^checkbox$`)).OnElements("input")
	p.AllowAttrs("checked", "disabled").OnElements("input")
	p.RequireNoFollowOnLinks(false)
	return p
}()

// renderMarkdown renders GitHub-flavoured Markdown to safe HTML. Comments break lines
// where their text does; files don't. Relative links are taken below base.
func renderMarkdown(markdown string, comment bool, base string) template.HTML {
	opts := []renderer.Option{html.WithUnsafe()} // what it lets through is sanitized
	if comment {
		opts = append(opts, html.WithHardWraps())
	}
	md := goldmark.New(goldmark.WithExtensions(extension.Linkify, extension.Strikethrough, extension.TaskList,
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))), goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(opts...))
	src := []byte(markdown)
	doc := md.Parser().Parse(source.NewReader(src))
	if base != "" {
		rebase(doc, base)
	}
	var buf bytes.Buffer
	if err := md.Renderer().Render(&buf, src, doc); err != nil {
		return template.HTML("<pre>" + template.HTMLEscapeString(markdown) + "</pre>")
	}
	return template.HTML(sanitizer.SanitizeBytes(buf.Bytes()))
}

func rebase(doc ast.Node, base string) {
	fix := func(d []byte) []byte {
		s := string(d)
		if s == "" || strings.HasPrefix(s, "#") || strings.HasPrefix(s, "/") || strings.Contains(s, ":") {
			return d
		}
		return []byte(base + s)
	}
	_ = ast.Walk(doc, func(n ast.Node, enter bool) (ast.WalkStatus, error) { // the walker returns no error
		if enter {
			switch n := n.(type) {
			case *ast.Link:
				n.Destination = fix(n.Destination)
			case *ast.Image:
				n.Destination = fix(n.Destination)
			}
		}
		return ast.WalkContinue, nil
	})
}
