package policy

import "fmt"

// MaxFileBytes bounds one policy file; Load refuses a larger one.
const MaxFileBytes = 1 << 20

// Bounds of what is handed to the parser, the compiler and the validator. All
// three recurse along brackets, prefix operators and chains of operators.
const (
	maxTotal     = 16 << 20
	maxNesting   = 500
	maxOperators = 10_000
	maxChain     = 64 // a.b.c: the parser writes `has a.b.c` out, which is quadratic
)

// A measure follows how deep the text of one policy can make the tree.
type measure struct {
	brackets  int
	prefixes  int // the run of ! and - that ends here
	operators int
	chain     int // the run of .name that ends here
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
		if m.brackets+m.prefixes > maxNesting || m.chain > maxChain {
			return t, fmt.Sprintf("nested deeper than %d, or a chain of more than %d names", maxNesting, maxChain), false
		}
		if m.operators > maxOperators {
			return t, fmt.Sprintf("more than %d operators in one policy", maxOperators), false
		}
	}
	return token{}, "", true
}

func (m *measure) add(t token) {
	m.before = t
	if t.text == "." {
		m.chain++
	} else if !isWord(t.text[0]) {
		m.chain = 0
	}
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
