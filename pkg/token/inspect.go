package token

import (
	"context"
	"errors"
	"strings"
	"time"
)

// checks are all that is checked of a token before a key is asked for, in the
// order of contract §5; the first that fails is the answer.
var checks = []check{
	{name: "crit", run: (*Verifier).checkExtensions, found: func(*reading) string { return "no extension" }},
	{name: "typ", run: (*Verifier).checkType, found: func(r *reading) string { return or(r.header.Get("typ").Text(), "absent") }},
	{name: "cnf", run: (*Verifier).checkBinding, found: bindingFound},
	{name: "alg", run: (*Verifier).checkAlgorithm, found: func(r *reading) string { return r.alg }},
	{name: "iss", run: (*Verifier).checkIssuer, found: func(r *reading) string { return "issuer " + r.issuer.Name + ", " + r.iss }},
	{name: "alg of the issuer", run: (*Verifier).checkIssuersAlgorithm, issuer: true, found: func(r *reading) string { return r.alg }},
	{name: "exp", run: (*Verifier).checkExpiry, found: func(r *reading) string { return stamp(r.claims.ExpiresAt) }},
	{name: "nbf", run: (*Verifier).checkBeginning, found: func(r *reading) string { return stampOr(r.claims.NotBefore, "absent") }},
	{name: "aud", run: (*Verifier).checkAudience, issuer: true, found: func(r *reading) string { return strings.Join(r.claims.Audience, " ") }},
	{name: "sub", run: (*Verifier).checkSubject, issuer: true, found: func(r *reading) string { return r.claims.Subject }},
	{name: "act", run: (*Verifier).checkActor, issuer: true, found: actorFound},
	{name: "kid", run: (*Verifier).checkKeyID, found: func(r *reading) string { return or(r.kid, "absent") }},
}

// A check is one condition of a token.
type check struct {
	name string
	// run returns nil if the condition holds, and notes in the reading what it
	// found.
	run func(v *Verifier, r *reading, accept Accept) *Error
	// issuer says that the check cannot be made before iss has passed.
	issuer bool
	// found says, for a person, what passed. It never holds a part of the token
	// as it was sent.
	found func(r *reading) string
}

func actorFound(r *reading) string {
	if r.claims.Actor == nil {
		return "absent"
	}
	return r.claims.Actor.Issuer + "/" + r.claims.Actor.Subject
}

func bindingFound(r *reading) string {
	switch b := r.claims.Bound; {
	case b.Key != "" && b.Certificate != "":
		return "bound to a DPoP key and a certificate: each request has to show both"
	case b.Key != "":
		return "bound to a DPoP key: each request needs a proof"
	case b.Certificate != "":
		return "bound to a certificate: the proxy has to see it"
	}
	return "not bound to a key"
}

// A Step is one check of an Inspection.
type Step struct {
	Name string // the claim or member: "aud"; "shape" for the reading itself
	// Passed tells that the condition holds; Skipped, that an earlier failure
	// left nothing to check it with. Neither: it failed, and Err says why.
	Passed, Skipped bool
	// Found is what was found, for a person. It holds claims, never a part of
	// the credential as it was sent.
	Found string
	Err   *Error
}

// An Inspection is what Verify did to a credential, check by check.
type Inspection struct {
	Steps []Step
	// Claims are those that Verify returns; zero if it refuses the credential.
	Claims Claims
	// Err is that of Verify: of the first step that failed.
	Err *Error
}

// Inspect makes the checks of Verify, for a person who wants to know why a
// credential is refused: it goes on after the first failure, as far as there is
// something to check with. It may therefore ask for a key where Verify would
// not; it is not for requests.
func (v *Verifier) Inspect(ctx context.Context, c Credential, accept Accept) Inspection {
	var in Inspection
	switch {
	case c.Raw == "" && accept.Anonymous:
		in.step("credential", "none, the server takes callers without one", nil)
		in.Claims = Claims{Kind: Anonymous}
		return in
	case c.Raw == "":
		in.step("credential", "", &Error{Fault: Missing, Reason: NoCredential, Err: errors.New("there is none")})
		return in
	case c.Key || IsAPIKey(c.Raw):
		return v.inspectKey(c.Raw, accept)
	}
	if ask := v.asksIssuers(c.Raw, accept); len(ask) > 0 {
		return v.inspectOpaque(ctx, c.Raw, ask, accept)
	}
	r, err := read(c.Raw)
	if !in.step("shape", "three parts, strict JSON", err) {
		return in
	}
	for _, c := range checks {
		if c.issuer && r.issuer == nil {
			in.skip(c.name, "without an issuer of the server")
			continue
		}
		err, found := c.run(v, r, accept), ""
		if err == nil {
			found = c.found(r)
		}
		in.step(c.name, found, err)
	}
	in.signature(ctx, r)
	if in.Err == nil {
		r.believe(c.Raw)
		in.Claims = r.claims
	}
	return in
}

// signature makes the checks that need a key.
func (in *Inspection) signature(ctx context.Context, r *reading) {
	if r.issuer == nil {
		in.skip("key", "without an issuer of the server")
		in.skip("signature", "without a key")
		return
	}
	key, err := r.findKey(ctx)
	if !in.step("key", "there is one for it", err) {
		in.skip("signature", "without a key")
		return
	}
	in.step("signature", "made with this key", r.checkSignature(key))
}

func (in *Inspection) skip(name, why string) {
	in.Steps = append(in.Steps, Step{Name: name, Skipped: true, Found: why})
}

// step notes the outcome of a check and tells whether it passed.
func (in *Inspection) step(name, found string, err *Error) bool {
	in.Steps = append(in.Steps, Step{Name: name, Passed: err == nil, Found: found, Err: err})
	if in.Err == nil {
		in.Err = err
	}
	return err == nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func stampOr(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return stamp(t)
}
