package policy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// MaxFileBytes bounds one policy file; Load refuses a larger one.
const MaxFileBytes = 1 << 20

// Bounds of what is handed to the parser, the compiler and the validator. All
// three recurse along brackets, prefix operators and chains of operators.
const (
	maxTotal     = 16 << 20
	maxNesting   = 500
	maxOperators = 2000
	maxChain     = 64  // a.b.c: the parser writes `has a.b.c` out, which is quadratic
	maxGuards    = 100 // the validator's work is cubic in what has and hasTag guard
	maxDoubling  = 8   // the validator's work doubles with each level
)

// A measure follows how deep the text of one policy can make the tree.
type measure struct {
	brackets  int
	prefixes  int // the run of ! and - that ends here
	operators int
	chain     int // the run of .name that ends here
	guards    int
	afterHas  bool // in the chain of names behind a has
	before    token
}

// checkCaps measures text. It returns the position and kind of the first
// excess; ok means that text is safe to parse.
func checkCaps(text string) (at token, message string, ok bool) {
	l := newLexer(text)
	var m measure
	for t := l.next(); t.text != ""; t = l.next() {
		if m.before.text == "?" && isWord(t.text[0]) {
			return m.before, "templates (?" + t.text + ") are not supported", false
		}
		m.add(t)
		if message = m.excess(); message != "" {
			return t, message, false
		}
	}
	return token{}, "", true
}

// excess says what is too much; "" if nothing is.
func (m *measure) excess() string {
	switch {
	case m.brackets+m.prefixes > maxNesting:
		return fmt.Sprintf("nested deeper than %d", maxNesting)
	case m.chain > maxChain:
		return fmt.Sprintf("a chain of more than %d names", maxChain)
	case m.operators > maxOperators:
		return fmt.Sprintf("more than %d operators in one policy", maxOperators)
	case m.guards > maxGuards:
		return fmt.Sprintf("more than %d times has or hasTag in one policy", maxGuards)
	}
	return ""
}

func (m *measure) add(t token) {
	m.before = t
	m.follow(t)
	switch t.text {
	case "!", "-":
		m.prefixes++
		m.operators++
		return
	case "(", "[", "{":
		m.brackets++
		m.operators++
	case ")", "]", "}":
		m.brackets = max(0, m.brackets-1)
	case "&&", "||", "+", "*", ".", "if", "when", "unless":
		m.operators++
	case ";":
		*m = measure{}
	}
	m.prefixes = 0
}

// follow counts chains of names, and the guards among them.
func (m *measure) follow(t token) {
	switch {
	case t.text == "has" || t.text == "hasTag":
		m.guards++
		m.afterHas = true
	case t.text == ".":
		m.chain++
		if m.afterHas {
			m.guards++
		}
	case !isWord(t.text[0]):
		m.chain, m.afterHas = 0, false
	}
}

// checkDoubling refuses what the validator would need too long for. cedar-go
// 1.9.0 doubles its errors in each "is … in", types again what is left of an
// optional member, and writes the "if" of a tag out twice.
func (l *loader) checkDoubling(r *rule) bool {
	deepest := 0
	for _, c := range r.ast.Conditions {
		deepest = max(deepest, doublings(c.Body, false))
	}
	if deepest > maxDoubling {
		l.problem(r, fmt.Sprintf("is … in, members of expressions in brackets, or if inside getTag are nested deeper than %d", maxDoubling),
			"write the condition flat, or several policies")
	}
	return deepest <= maxDoubling
}

// doublings is the deepest nesting in n of nodes that double the work.
func doublings(n ast.IsNode, inTag bool) int {
	own := 0
	switch v := n.(type) {
	case ast.NodeTypeIsIn:
		own = 1
	case ast.NodeTypeIfThenElse:
		if inTag {
			own = 1
		}
	case ast.NodeTypeAccess:
		switch v.Arg.(type) {
		case ast.NodeTypeVariable, ast.NodeTypeAccess, ast.NodeValue:
		default:
			own = 1
		}
	case ast.NodeTypeGetTag:
		inTag = true
	}
	deepest := 0
	for _, child := range children(n) {
		deepest = max(deepest, doublings(child, inTag))
	}
	return own + deepest
}

// children returns the expressions that n is made of.
func children(n ast.IsNode) []ast.IsNode {
	var all []ast.IsNode
	self := true
	ast.Inspect(ast.NewNode(n), func(child ast.IsNode) bool {
		if self {
			self = false
			return true
		}
		all = append(all, child)
		return false
	})
	return all
}
