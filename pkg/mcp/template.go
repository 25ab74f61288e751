package mcp

import "strings"

// operators are the characters other than letters and digits of an expression
// (RFC 6570 §2.2 to §2.4), and "-", which servers use in variable names.
const operators = "_.,*:+#/;?&=!@|-"

func canonicalTemplate(sent string, rules Rules) (URI, *refusal) {
	text, expressions, bad := cutExpressions(sent)
	switch {
	case bad != nil:
		return URI{}, bad
	case len(expressions) == 0:
		return canonical(sent, rules)
	}
	p, bad := spell(text, rules, true)
	if bad != nil {
		return URI{}, bad
	}
	spelling := p.String()
	u := URI{
		Canonical: restore(spelling, expressions), Sent: sent,
		Scheme: p.scheme, Host: p.host, Dirs: p.dirs(),
		Template: true, Prefix: spelling[:strings.IndexByte(spelling, placeholder)],
	}
	before := strings.Count(p.origin(p.userinfo), string(placeholder))
	u.Path = restore(p.path, expressions[before:])
	if before > 0 {
		u.Host = "" // any host
	}
	if len(u.Canonical) > maxURI {
		return URI{}, &refusal{"URI longer than 8 KiB", true}
	}
	return u, nil
}

// cutExpressions replaces each {expression} of a template by a placeholder.
func cutExpressions(sent string) (text string, expressions []string, bad *refusal) {
	switch {
	case len(sent) > maxURI:
		return "", nil, &refusal{"URI longer than 8 KiB", true}
	case strings.IndexByte(sent, placeholder) >= 0:
		return "", nil, refuse("URI with a blank or control character")
	}
	var b strings.Builder
	for {
		literal, rest, found := strings.Cut(sent, "{")
		if strings.IndexByte(literal, '}') >= 0 {
			return "", nil, refuse("bad URI template")
		}
		b.WriteString(literal)
		if !found {
			return b.String(), expressions, nil
		}
		expression, after, closed := strings.Cut(rest, "}")
		if !closed || !validExpression(expression) {
			return "", nil, refuse("bad URI template")
		}
		expressions = append(expressions, "{"+expression+"}")
		b.WriteByte(placeholder)
		sent = after
	}
}

func validExpression(text string) bool {
	for i := range len(text) {
		if c := text[i]; !letter(c) && !digit(c) && strings.IndexByte(operators, c) < 0 {
			return false
		}
	}
	return text != ""
}

// restore puts the expressions back, in order.
func restore(text string, expressions []string) string {
	var b strings.Builder
	for _, expression := range expressions {
		literal, rest, found := strings.Cut(text, string(placeholder))
		if !found {
			break
		}
		b.WriteString(literal)
		b.WriteString(expression)
		text = rest
	}
	return b.String() + text
}
