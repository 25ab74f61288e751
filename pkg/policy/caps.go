package policy

import "fmt"

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
