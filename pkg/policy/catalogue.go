package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
)

// A catalogue is what the configuration says about servers and their tools.
type catalogue struct {
	servers map[string]Server
	issuers map[string]Issuer
	tools   map[cedar.EntityUID]*catalogueTool
	ordered []*catalogueTool // by id
}

// A catalogueTool is one tool of the catalogue.
type catalogueTool struct {
	uid      cedar.EntityUID
	lineage  lineage
	document *document // nil: no input_schema
	// shapes has, by key of path, what the schema declares at every path that
	// a policy for this tool reads. It does not change after Load.
	shapes map[string]*shape
}

func toolUID(server, tool string) cedar.EntityUID {
	return cedar.NewEntityUID(typeTool, cedar.String(server+"/"+tool))
}

func newCatalogue(c Config) (*catalogue, []Problem) {
	cat := &catalogue{map[string]Server{}, map[string]Issuer{}, map[cedar.EntityUID]*catalogueTool{}, nil}
	var problems []Problem
	for _, i := range c.Issuers {
		cat.issuers[i.Name] = i
	}
	for _, s := range c.Servers {
		cat.servers[s.Name] = s
		for _, t := range s.Tools {
			if err := cat.add(s, t); err != nil {
				problems = append(problems, Problem{
					Message: fmt.Sprintf("input_schema of tool %q of server %q: %v", t.Name, s.Name, err),
				})
			}
		}
	}
	for _, t := range cat.tools {
		cat.ordered = append(cat.ordered, t)
	}
	slices.SortFunc(cat.ordered, func(a, b *catalogueTool) int { return cmp.Compare(a.uid.ID, b.uid.ID) })
	return cat, problems
}

func (cat *catalogue) add(s Server, t Tool) error {
	uid := toolUID(s.Name, t.Name)
	ancestors := map[cedar.EntityUID]struct{}{cedar.NewEntityUID(typeServer, cedar.String(s.Name)): {}}
	for _, e := range s.Environments {
		ancestors[cedar.NewEntityUID(typeEnv, cedar.String(e))] = struct{}{}
	}
	tool := &catalogueTool{uid: uid, lineage: lineage{uid, ancestors}, shapes: map[string]*shape{}}
	cat.tools[uid] = tool
	if t.InputSchema == nil {
		return nil
	}
	var err error
	tool.document, err = parseDocument(t.InputSchema)
	return err
}

// inScope returns the tools that a scope can match, in the order of ids.
func (cat *catalogue) inScope(s scope) []*catalogueTool {
	var tools []*catalogueTool
	for _, t := range cat.ordered {
		if s.resource.matches(t.lineage) {
			tools = append(tools, t)
		}
	}
	return tools
}

// at returns what t declares at path; nil if it does not. Only Load may ask
// for a path that nobody asked for before.
func (t *catalogueTool) at(path []string) *shape {
	key := pathKey(path)
	known, ok := t.shapes[key]
	if !ok && t.document != nil {
		known = t.document.shape(path)
		t.shapes[key] = known
	}
	return known
}

// pathKey is a path as one string. No name of a member has a NUL in it.
func pathKey(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteByte(0)
		b.WriteString(name)
	}
	return b.String()
}

// alike tells whether a server may take one name for the other: they are equal
// after simple folding and without _ and -. Many servers turn calendarId into
// calendar_id before they call the tool.
func alike(a, b string) bool {
	for {
		var ra, rb rune
		ra, a = nextLetter(a)
		rb, b = nextLetter(b)
		if ra != rb && !foldEqual(ra, rb) {
			return false
		}
		if ra < 0 {
			return true
		}
	}
}

// nextLetter returns the first rune of s that is not _ or -, and what is
// behind it; -1 at the end.
func nextLetter(s string) (rune, string) {
	for i, r := range s {
		if r != '_' && r != '-' {
			return r, s[i+utf8.RuneLen(r):]
		}
	}
	return -1, ""
}

func foldEqual(a, b rune) bool {
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}
