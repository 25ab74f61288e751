package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// checkSpellings refuses comparisons of uri, scheme, host or path of a
// resource with text that no canonical spelling contains: they are always
// false, and a forbid that rests on one never fires.
func (l *loader) checkSpellings(r *rule) {
	for _, c := range r.ast.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			compared := comparisonOf(n)
			for i, piece := range compared.pieces {
				if why := l.catalogue.unspellable(compared, i); why != "" {
					l.problem(r, fmt.Sprintf("resource.%s never contains %q: %s", compared.part, piece, why),
						"compare with the canonical spelling")
				}
			}
			return true
		})
	}
}

// A comparison is one of a part of resource with text.
type comparison struct {
	part   string   // uri, scheme, host or path; "" if there is none
	pieces []string // text that the part must contain
	// whole says that each piece is the whole text; begins that the first one
	// is its beginning.
	whole, begins bool
}

func comparisonOf(n ast.IsNode) comparison {
	switch v := n.(type) {
	case ast.NodeTypeEquals:
		return compared(v.Left, v.Right)
	case ast.NodeTypeNotEquals:
		return compared(v.Left, v.Right)
	case ast.NodeTypeContains:
		return compared(v.Left, v.Right)
	case ast.NodeTypeContainsAny:
		return compared(v.Left, v.Right)
	case ast.NodeTypeContainsAll:
		return compared(v.Left, v.Right)
	case ast.NodeTypeLike:
		if part := resourcePart(v.Arg); part != "" {
			pieces, begins := patternPieces(v.Value)
			return comparison{part: part, pieces: pieces, begins: begins}
		}
	}
	return comparison{}
}

func compared(a, b ast.IsNode) comparison {
	if part := resourcePart(a); part != "" {
		return comparison{part: part, pieces: texts(b), whole: true}
	}
	if part := resourcePart(b); part != "" {
		return comparison{part: part, pieces: texts(a), whole: true}
	}
	return comparison{}
}

// resourcePart returns which part of resource n is, alone or in a set of one.
func resourcePart(n ast.IsNode) string {
	if set, ok := n.(ast.NodeTypeSet); ok && len(set.Elements) == 1 {
		n = set.Elements[0]
	}
	access, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return ""
	}
	if of, ok := access.Arg.(ast.NodeTypeVariable); !ok || of.Name != "resource" {
		return ""
	}
	switch access.Value {
	case "uri", "scheme", "host", "path":
		return string(access.Value)
	}
	return ""
}

// texts returns the string that n is, or the strings that it lists.
func texts(n ast.IsNode) []string {
	switch v := n.(type) {
	case ast.NodeValue:
		if s, ok := v.Value.(cedar.String); ok {
			return []string{string(s)}
		}
	case ast.NodeTypeSet:
		var all []string
		for _, e := range v.Elements {
			all = append(all, texts(e)...)
		}
		return all
	}
	return nil
}

// patternPieces returns the text between the wildcards of p, and whether the
// first of it is the beginning. JSON is the only form in which cedar-go shows
// them.
func patternPieces(p cedar.Pattern) (pieces []string, begins bool) {
	text, err := p.MarshalJSON()
	if err != nil {
		return nil, false
	}
	components, err := strictjson.Parse(text, strictjson.Limits{})
	if err != nil {
		return nil, false
	}
	wild := false
	for c := range components.Elements() {
		if literal := c.Get("Literal"); literal.Kind() == strictjson.String {
			begins = begins || !wild
			pieces = append(pieces, literal.Text())
		}
		wild = true
	}
	return pieces, begins
}

// unspellable says why no canonical spelling has a piece of c in that part of
// it; "" when one may.
func (cat *catalogue) unspellable(c comparison, index int) string {
	part, piece := c.part, c.pieces[index]
	for _, r := range piece {
		if r <= ' ' || r == 0x7f || r == '\\' {
			return fmt.Sprintf("URIs with %q are refused", r)
		}
	}
	if part == "uri" && c.whole && !strings.Contains(piece, "{") {
		return cat.uncanonical(piece)
	}
	if part == "uri" && c.begins && index == 0 {
		if why := cat.uncanonicalBeginning(piece); why != "" {
			return why
		}
	}
	if why := wrongPart(part, piece, c.whole); why != "" || part == "scheme" || cat.takesNames() {
		return why // a plain name may have characters that a URI has not
	}
	if why := foreign(piece, charactersOf(part)); why != "" {
		return why
	}
	return badEscape(part, piece)
}

// wrongPart says why piece does not stand in a scheme, a host or a path.
func wrongPart(part, piece string, whole bool) string {
	switch part {
	case "scheme":
		if strings.ToLower(piece) != piece {
			return "schemes are in lower case"
		}
		return foreign(piece, "abcdefghijklmnopqrstuvwxyz0123456789+-.")
	case "host":
		if whole && piece == "" {
			return "a host that is empty is not there"
		}
		if strings.ContainsAny(piece, "/?#") {
			return "a host ends before / ? #"
		}
	case "path":
		if strings.Contains(piece, "//") {
			return "paths with an empty segment are refused"
		}
		if strings.Contains(piece, "/./") || strings.Contains(piece, "/../") {
			return "dot segments are refused"
		}
	}
	return ""
}

// uncanonicalBeginning says why no resource begins so. What a piece says of a
// path, up to its last slash, is canonical as it stands there.
func (cat *catalogue) uncanonicalBeginning(piece string) string {
	scheme, rest, found := strings.Cut(piece, ":")
	if found && strings.ToLower(scheme) != scheme {
		return "schemes are in lower case"
	}
	if end := strings.IndexAny(piece, "?#"); end >= 0 {
		piece = piece[:end]
	}
	piece = piece[:strings.LastIndexByte(piece, '/')+1]
	switch strings.TrimPrefix(piece, scheme+":") {
	case "", "/", "//": // no path yet
		switch host := strings.TrimPrefix(rest, "//"); scheme {
		case "http", "https", "ws", "wss":
			if strings.ToLower(host) != host {
				return "hosts are in lower case"
			}
		}
		return ""
	}
	if strings.Contains(piece, "{") {
		return "" // a template
	}
	return cat.uncanonical(piece)
}

const (
	unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	// pathBytes are what stands raw in a path (RFC 3986 §3.3).
	pathBytes = unreserved + "!$&'()*+,;=:@"
)

// charactersOf returns the characters of a part, with those of escapes and the
// braces of templates.
func charactersOf(part string) string {
	if part == "path" {
		return pathBytes + "/%{}"
	}
	return pathBytes + "/?#[]%{}"
}

func foreign(piece, allowed string) string {
	for _, c := range piece {
		if !strings.ContainsRune(allowed, c) {
			return fmt.Sprintf("it never has %q as such", c)
		}
	}
	return ""
}

// badEscape finds an escape that canonical spellings do not have in that part.
func badEscape(part, piece string) string {
	for i := 0; i < len(piece); i++ {
		if piece[i] != '%' {
			continue
		}
		escape := piece[i:min(i+3, len(piece))]
		if strings.ToUpper(escape) != escape {
			return "escapes are in upper case"
		}
		if strings.Trim(escape, "%0123456789ABCDEF") != "" {
			return "% begins an escape"
		}
		if c, err := strconv.ParseUint(strings.TrimPrefix(escape, "%"), 16, 8); err == nil && len(escape) == 3 {
			if why := neverEscaped(part, byte(c)); why != "" {
				return fmt.Sprintf("%s is %s", escape, why)
			}
		}
	}
	return ""
}

// neverEscaped says why c does not stand encoded in a part of a URI.
func neverEscaped(part string, c byte) string {
	raw := unreserved
	if part == "path" || part == "host" {
		raw = pathBytes
	}
	switch {
	case c < ' ' || c == 0x7f || c == '\\':
		return "refused"
	case c < utf8.RuneSelf && strings.IndexByte(raw, c) >= 0:
		return fmt.Sprintf("written %q", c)
	}
	return ""
}

// uncanonical says why uri is the canonical spelling of no resource on any
// server.
func (cat *catalogue) uncanonical(uri string) string {
	why := ""
	for _, name := range slices.Sorted(maps.Keys(cat.servers)) {
		s := cat.servers[name]
		if s.CanonicalURI == nil {
			return ""
		}
		switch one, err := s.CanonicalURI(uri); {
		case err != nil:
			why = err.Error()
		case one == uri:
			return ""
		default:
			why = fmt.Sprintf("it is written %q", one)
		}
	}
	return why
}

// takesNames tells whether a server takes plain names as ids of resources.
func (cat *catalogue) takesNames() bool {
	const name = "é" // as a URI it has no scheme, and as a name it stays as it is
	for _, s := range cat.servers {
		if s.CanonicalURI == nil {
			return true
		}
		if one, err := s.CanonicalURI(name); err == nil && one == name {
			return true
		}
	}
	return false
}
