package manifests

import (
	"fmt"
	"math"

	"gopkg.in/yaml.v3"
)

const (
	// maxDepth bounds nesting, aliases expanded. Real manifests stay below 20.
	maxDepth = 64
	// maxExpanded is how many nodes a document may have beyond four times what
	// was written, once aliases and merge keys are expanded.
	maxExpanded = 50_000
	// maxFindingsPerFile bounds what one file can say about its own syntax.
	maxFindingsPerFile = 100
)

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	mappingNode
	sequenceNode
)

// node is a YAML value with its position. Aliases share the node of their anchor
// and merge keys are resolved, so a document is a directed graph without cycles
// whose expanded size and height are known and bounded.
type node struct {
	kind      nodeKind
	plain     bool // an unquoted scalar
	line, col int32
	height    int32
	size      int32 // nodes below and including this one, aliases expanded
	tag       string
	value     string
	fields    []field // of a mapping, in order, merged keys last
	items     []*node // of a sequence
}

// field is one key of a mapping with the key's position.
type field struct {
	key       string
	line, col int32
	value     *node
}

// complexKey stands for a key that is not a scalar, which no manifest has, but
// an unquoted template such as {{ .Values.x }} does.
const complexKey = "{…}"

// field finds a key of a mapping. A nil node has no fields.
func (n *node) field(key string) *field {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].key == key {
			return &n.fields[i]
		}
	}
	return nil
}

// at walks down mappings and returns nil where the path ends.
func (n *node) at(keys ...string) *node {
	for _, k := range keys {
		f := n.field(k)
		if f == nil {
			return nil
		}
		n = f.value
	}
	return n
}

// text is the value of a scalar that isn't null, else "".
func (n *node) text() string {
	if n == nil || n.kind != scalarNode || n.tag == "!!null" {
		return ""
	}
	return n.value
}

// null reports whether there is no value: absent, or null.
func (n *node) null() bool {
	return n == nil || n.kind == scalarNode && n.tag == "!!null"
}

// list is the items of a sequence, none for anything else.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// converter turns yaml.v3 nodes into ours, within its bounds.
type converter struct {
	file    *File
	done    map[*yaml.Node]*node // anchored nodes; nil while in progress
	copied  int                  // fields copied by merge keys
	written int                  // nodes of the document as written
}

// refusal ends the conversion of a document: it becomes a finding.
type refusal struct {
	rule, message string
	line, col     int
}

func (c *converter) document(doc *yaml.Node) (n *node, bad *refusal) {
	defer func() {
		if r := recover(); r != nil {
			var ok bool
			if bad, ok = r.(*refusal); !ok {
				panic(r)
			}
			n = nil
		}
	}()
	c.done, c.copied, c.written = nil, 0, 0
	if len(doc.Content) == 0 {
		return nil, nil
	}
	n = c.convert(doc.Content[0], 1)
	if int(n.size) > maxExpanded+4*c.written {
		c.bomb(doc.Content[0])
	}
	return n, nil
}

func (c *converter) bomb(y *yaml.Node) {
	panic(&refusal{"yaml/alias-bomb", "aliases make this document far larger than it is written", y.Line, y.Column})
}

func (c *converter) convert(y *yaml.Node, depth int) *node {
	if depth > maxDepth {
		panic(&refusal{"yaml/too-deep", fmt.Sprintf("values are nested more than %d levels deep", maxDepth), y.Line, y.Column})
	}
	if y.Kind == yaml.AliasNode {
		return c.alias(y, depth)
	}
	c.written++
	n := &node{line: int32(c.file.lineOf(y.Line)), col: int32(y.Column), size: 1, tag: y.Tag, height: 1}
	if y.Anchor != "" {
		if c.done == nil {
			c.done = map[*yaml.Node]*node{}
		}
		c.done[y] = nil
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = mappingNode
		c.mapping(n, y, depth)
	case yaml.SequenceNode:
		n.kind = sequenceNode
		n.items = make([]*node, 0, len(y.Content))
		for _, e := range y.Content {
			v := c.convert(e, depth+1)
			n.items = append(n.items, v)
			n.grow(v)
		}
	default:
		n.value = y.Value
		n.plain = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
	}
	if y.Anchor != "" {
		c.done[y] = n
	}
	return n
}

func (c *converter) alias(y *yaml.Node, depth int) *node {
	n, known := c.done[y.Alias]
	if !known || n == nil {
		panic(&refusal{"yaml/alias-bomb", fmt.Sprintf("the alias *%s contains itself", clean(y.Value, 60)), y.Line, y.Column})
	}
	if depth+int(n.height) > maxDepth {
		panic(&refusal{"yaml/too-deep", fmt.Sprintf("values are nested more than %d levels deep", maxDepth), y.Line, y.Column})
	}
	return n
}

// grow accounts for a child; the size saturates far above every bound.
func (n *node) grow(child *node) {
	if n.size > math.MaxInt32/2-child.size {
		n.size = math.MaxInt32 / 2
	} else {
		n.size += child.size
	}
	n.height = max(n.height, child.height+1)
}

// mapping converts the keys of a mapping. YAML forbids duplicate keys and the
// kinds of readers disagree on which one counts, so each is a finding; the first
// is kept.
func (c *converter) mapping(n *node, y *yaml.Node, depth int) {
	n.fields = make([]field, 0, len(y.Content)/2)
	line := func(k *yaml.Node) int32 { return int32(c.file.lineOf(k.Line)) }
	var seen map[string]int32
	if len(y.Content) > 32 {
		seen = make(map[string]int32, len(y.Content)/2)
	}
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			merges = append(merges, v)
			continue
		}
		key := complexKey
		switch {
		case k.Kind == yaml.ScalarNode:
			c.written++
			key = k.Value
			if k.Anchor != "" {
				c.convert(k, depth+1)
			}
		case k.Kind == yaml.AliasNode && k.Alias.Kind == yaml.ScalarNode:
			key = k.Alias.Value
		default:
			n.grow(c.convert(k, depth+1))
		}
		child := c.convert(v, depth+1)
		n.grow(child)
		if first := n.firstLine(key, seen); first > 0 && key != complexKey {
			c.file.note(Finding{
				Rule: "yaml/duplicate-key", Line: int(line(k)), Column: k.Column,
				Message: fmt.Sprintf("the key %q is in this mapping twice", clean(key, 60)),
				Remedy:  fmt.Sprintf("remove one of the two; the other is on line %d", first),
			})
			continue
		}
		if seen != nil {
			seen[key] = line(k)
		}
		n.fields = append(n.fields, field{key, line(k), int32(k.Column), child})
	}
	for _, m := range merges {
		seen = c.merge(n, m, depth, seen)
	}
}

func (n *node) firstLine(key string, seen map[string]int32) int32 {
	if seen != nil {
		return seen[key]
	}
	if f := n.field(key); f != nil {
		return f.line
	}
	return 0
}

// merge adds the fields of the mapping (or mappings) that a << key names, where
// the mapping doesn't have them itself.
func (c *converter) merge(n *node, y *yaml.Node, depth int, seen map[string]int32) map[string]int32 {
	v := c.convert(y, depth+1)
	sources := []*node{v}
	if v.kind == sequenceNode {
		sources = v.items
	}
	if seen == nil {
		seen = make(map[string]int32, len(n.fields))
		for i := range n.fields {
			seen[n.fields[i].key] = n.fields[i].line
		}
	}
	for _, s := range sources {
		for _, f := range s.fields {
			if c.copied++; c.copied > maxExpanded+4*c.written {
				c.bomb(y)
			}
			if n.firstLine(f.key, seen) > 0 {
				continue
			}
			seen[f.key] = f.line
			n.fields = append(n.fields, f)
			n.grow(f.value)
		}
	}
	return seen
}
