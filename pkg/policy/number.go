package policy

import (
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// A literal is a JSON number (RFC 8259 §6) as sign, digits and power of ten:
// digits × 10^exponent, without zeros at either end. Zero has no digits. It is
// read from the text in linear time: no value is rounded on its way, and
// 1e999999999 costs no more than its length.
type literal struct {
	negative bool
	digits   string
	exponent int64
}

// farExponent is beyond what any text that fits in memory can bring back into
// the range of Cedar's numbers.
const farExponent = 1 << 40

func parseLiteral(text string) literal {
	var n literal
	text, n.negative = strings.CutPrefix(text, "-")
	mantissa, power := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, power = text[:i], text[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	n.exponent = parseExponent(power) - int64(len(fraction))

	trimmed := strings.TrimRight(digits, "0")
	n.exponent += int64(len(digits) - len(trimmed))
	n.digits = strings.TrimLeft(trimmed, "0")
	if n.digits == "" {
		return literal{}
	}
	return n
}

// parseExponent reads the digits behind e; far from zero it stays at
// ±farExponent.
func parseExponent(text string) int64 {
	text, negative := strings.CutPrefix(strings.TrimPrefix(text, "+"), "-")
	value := int64(0)
	for i := range len(text) {
		value = min(value*10+int64(text[i]-'0'), farExponent)
	}
	if negative {
		return -value
	}
	return value
}

// scaled returns n × 10^places, if that is an integer within int64.
func (n literal) scaled(places int64) (int64, bool) {
	if n.digits == "" {
		return 0, true
	}
	zeros := n.exponent + places
	if zeros < 0 || int64(len(n.digits))+zeros > 19 { // int64 has at most 19 digits
		return 0, false
	}
	text := n.digits + strings.Repeat("0", int(zeros))
	if n.negative {
		text = "-" + text
	}
	value, err := strconv.ParseInt(text, 10, 64)
	return value, err == nil
}

// long returns n as a Long: 5, 5.0 and 50e-1 are one.
func (n literal) long() (cedar.Long, bool) {
	value, ok := n.scaled(0)
	return cedar.Long(value), ok
}

// decimal returns n as a decimal, if that has at most four decimals.
func (n literal) decimal() (cedar.Decimal, bool) {
	value, ok := n.scaled(4)
	if !ok {
		return cedar.Decimal{}, false
	}
	d, err := cedar.NewDecimal(value, -4)
	return d, err == nil
}
