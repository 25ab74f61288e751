package stack

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
)

// A Browser is the browser of a user who signs in at an OAuth server and is
// redirected to the client. It follows redirects, keeps cookies while it does,
// and fills in the form that it is shown.
type Browser struct {
	// Header is sent with every request: x-test-user and x-test-refuse tell an
	// OIDCProvider who signs in and which scopes, separated by blanks, that
	// user does not grant.
	Header http.Header
	// Form is what is filled in: login and password for Dex.
	Form url.Values
}

// maxPages bounds the way of a Browser.
const maxPages = 20

// Authorize goes the way of the authorization code: it opens the URL of the
// arguments and returns what stands in the redirect to the client. It is an
// auth.AuthorizationCodeFetcher.
func (b Browser) Authorize(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	asked, err := url.Parse(args.URL)
	if err != nil {
		return nil, err
	}
	back, err := b.follow(ctx, args.URL, asked.Query().Get("redirect_uri"))
	if err != nil {
		return nil, fmt.Errorf("signing in at %s: %w", asked.Host, err)
	}
	if text := back.Get("error"); text != "" {
		return nil, fmt.Errorf("signing in at %s: %s: %s", asked.Host, text, back.Get("error_description"))
	}
	return &auth.AuthorizationResult{Code: back.Get("code"), State: back.Get("state"), Iss: back.Get("iss")}, nil
}

// follow returns the query of the first redirect to end.
func (b Browser) follow(ctx context.Context, next, end string) (url.Values, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
	for range maxPages {
		if err != nil {
			return nil, err
		}
		maps.Copy(req.Header, b.Header)
		var target *url.URL
		if req, target, err = b.open(client, req); err != nil {
			return nil, err
		}
		if before, query, _ := strings.Cut(target.String(), "?"); before == end {
			return url.ParseQuery(query)
		}
	}
	return nil, errors.New("no redirect to the client")
}

// open sends req and returns the request that follows, and its URL.
func (b Browser) open(client *http.Client, req *http.Request) (*http.Request, *url.URL, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return b.submit(req, body)
	}
	target, err := resp.Location()
	if err != nil {
		return nil, nil, fmt.Errorf("%s answered %d: %s", req.URL.Path, resp.StatusCode, body)
	}
	next, err := http.NewRequestWithContext(req.Context(), http.MethodGet, target.String(), nil)
	return next, target, err
}

var formAction = regexp.MustCompile(`<form [^>]*action="([^"]*)"`)

// submit fills in the form of a page.
func (b Browser) submit(from *http.Request, page []byte) (*http.Request, *url.URL, error) {
	form := formAction.FindSubmatch(page)
	if form == nil || from.Method == http.MethodPost {
		return nil, nil, fmt.Errorf("%s %s shows a page to stay at: %s", from.Method, from.URL.Path, page)
	}
	target, err := from.URL.Parse(html.UnescapeString(string(form[1])))
	if err != nil {
		return nil, nil, err
	}
	next, err := http.NewRequestWithContext(from.Context(), http.MethodPost, target.String(), strings.NewReader(b.Form.Encode()))
	if err == nil {
		next.Header.Set("content-type", "application/x-www-form-urlencoded")
	}
	return next, target, err
}
