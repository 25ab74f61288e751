package config

import "fmt"

// fixed are the fields that a process reads once: what it has opened stays.
func fixed() []string {
	return []string{"listen.grpc", "listen.admin", "audit.path", "log.format"}
}

// places notes where the fixed fields stand, or where they would.
func (r *reader) places() []Problem {
	var places []Problem
	for _, path := range fixed() {
		places = append(places, r.spot(path))
	}
	return places
}

// spot is where a field stands, or where it would.
func (r *reader) spot(path string) Problem {
	at := r.position(path)
	return Problem{File: r.file, Line: max(at.Line, 1), Column: max(at.Column, 1), Path: path}
}

// fixedValues gives the values of the fixed fields.
func (c *Config) fixedValues() []string {
	format := "json"
	if c.Log.Text {
		format = "text"
	}
	return []string{c.GRPC.String(), c.Admin.String(), c.AuditPath, format}
}

// String gives the address as the configuration writes it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix://" + a.Address
	}
	return a.Address
}

// NeedsRestart lists what differs between c and the configuration that a
// process serves and cannot change while it runs: where it listens, where its
// records go, the format of its log. Such a c is to be refused as a whole.
func (c *Config) NeedsRestart(serving *Config) []Problem {
	var problems []Problem
	before := serving.fixedValues()
	for i, value := range c.fixedValues() {
		if value == before[i] {
			continue
		}
		p := c.places[i]
		p.Message = fmt.Sprintf("changes from %s to %s, which takes a restart", before[i], value)
		p.Hint = "restart, or take this change back: none of the edit is in effect"
		problems = append(problems, p)
	}
	return problems
}

// LosesPolicies reports a set without written policies that would replace one
// that has some: a directory that is empty for a moment, or a mount that is
// gone, is not an order to deny everything. It returns nil when there is none.
func (a *Assembly) LosesPolicies(serving *Assembly) *Problem {
	if a.written() > 0 || serving.written() == 0 {
		return nil
	}
	return &Problem{
		File:    a.Config.PolicyPath,
		Message: fmt.Sprintf("there are no policies any more, %d stay in effect", serving.written()),
		Hint:    "to deny everything, write a forbid; to serve without policies, restart",
	}
}

// written counts the policies that an operator wrote.
func (a *Assembly) written() int {
	n := 0
	for _, p := range a.Policies.Policies() {
		if p.File != "" {
			n++
		}
	}
	return n
}
