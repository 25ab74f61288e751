package main

import (
	"context"
	"errors"

	"github.com/cedargate/cedargate/pkg/authztest"
)

// layers shows that neither authentication nor authorization does the work of
// the other: with the policies of both extremes, behind gates of their own.
func (s *story) layers(ctx context.Context) error {
	return errors.Join(s.permitAll(ctx), s.permitNone(ctx))
}

// at opens a gate with other policies, and tells the story there.
func (s *story) at(ctx context.Context, policies string) (*story, error) {
	g, err := s.world.open(ctx, gateConfig{policies: worldFS(policies)})
	if err != nil {
		return nil, err
	}
	return &story{transcript: s.transcript, world: s.world, gate: g}, nil
}

// permitAll: everyone with a token is a superuser, and everyone else nobody.
func (s *story) permitAll(ctx context.Context) error {
	s.say("Another Envoy and another Cedargate, whose only policy permits everything.")
	s, err := s.at(ctx, "permit-all")
	if err != nil {
		return err
	}
	alice := s.world.newClient("alice", s.endpoint("github"), s.aliceAt("github"))
	if _, err := s.joins(ctx, alice, withSessions); err != nil {
		return err
	}
	all := permitted("User/corp/alice", []string{"permit-all"}, scopes("tools:read"))
	s.callsTool(ctx, alice, "delete_repo", map[string]any{"repo": "cedargate"}, all)
	s.readsResource(ctx, alice, "file:///srv/private/salaries.csv", all)

	s.say("\nsomeone without a token calls read_file there.")
	s.sends(ctx, s.world.newClient("someone", s.endpoint("github"), nil), readme, unauthenticated("no_credential"))
	s.say("\nsomeone with a forged token calls read_file there.")
	forger := s.world.newClient("alice", s.endpoint("github"), s.aliceAt("github"), authztest.Forged())
	s.sends(ctx, forger, readme, unauthenticated("bad_signature"))
	return errors.Join(alice.close(), s.addsUp(ctx))
}

// permitNone: a token alone opens a session and nothing else.
func (s *story) permitNone(ctx context.Context) error {
	s.say("\nAnother one, without any policy. The built-in policy cedargate:lifecycle is")
	s.say("the exception: it opens, keeps and closes sessions, and nothing else.")
	s, err := s.at(ctx, "no-policies")
	if err != nil {
		return err
	}
	bob := s.world.newClient("bob", s.endpoint("github"), map[string]any{
		"aud": s.world.resource("github"), "scope": "tools:read tools:write", "roles": []string{"repo-admin"},
	})
	if err := s.opens(ctx, bob, "initialize", withSessions); err != nil {
		return err
	}
	const principal = "User/corp/bob"
	s.listsTools(ctx, bob, unpermitted(principal, scopes("tools:read", "tools:write")))
	s.callsTool(ctx, bob, "delete_repo", map[string]any{"repo": "cedargate"}, unpermitted(principal, roles("repo-admin")))
	s.readsResource(ctx, bob, "file:///srv/docs/guide.md", unpermitted(principal))
	s.say("\nsomeone without a token calls read_file there.")
	s.sends(ctx, s.world.newClient("someone", s.endpoint("github"), nil), readme, unauthenticated("no_credential"))
	return errors.Join(bob.close(), s.addsUp(ctx))
}
