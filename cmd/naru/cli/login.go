package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/types/registry"
	"github.com/spf13/cobra"

	"naru/cmd/naru/credentials"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

// loginOptions are the flags of login.
type loginOptions struct {
	user, password string
	userGiven      bool // else user is what is offered
	passwordStdin  bool
}

func (a *app) loginCommand() *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use: "login [OPTIONS] [SERVER]", Short: "Authenticate to a registry", Args: upTo(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long:    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified. Docker's tools find what is stored.",
		Example: "  naru login\n  naru login -u me --password-stdin ghcr.io <token",
	}
	f := cmd.Flags()
	f.StringVarP(&o.user, "username", "u", "", "Username")
	f.StringVarP(&o.password, "password", "p", "", `Password or Personal Access Token (PAT), or "-" to read from stdin`)
	f.BoolVar(&o.passwordStdin, "password-stdin", false, "Take the Password or Personal Access Token (PAT) from stdin")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if err := o.check(cmd.Flags().Changed); err != nil {
			return err
		}
		server := credentials.Server(strings.Join(args, ""))
		if err := a.readPassword(&o); err != nil {
			return err
		}
		if o.user == "" && o.password == "" {
			if done, err := a.loginStored(cmd.Context(), c, server, &o); done || err != nil {
				return err
			}
		}
		auth, err := a.askLogin(cmd.Context(), server, o)
		if err != nil {
			return err
		}
		return a.loginWith(cmd.Context(), c, auth)
	})
	return cmd
}

// check refuses flags that do not go together, in Docker's words.
func (o *loginOptions) check(given func(string) bool) error {
	stdin := o.passwordStdin || o.password == "-"
	switch {
	case o.passwordStdin && given("password") && o.password != "-":
		return errors.New("conflicting options: cannot specify both --password and --password-stdin")
	case stdin && !given("username"):
		return errors.New("the --password-stdin option requires --username to be set")
	case given("username") && o.user == "":
		return errors.New("username is empty")
	case given("password") && o.password == "":
		return errors.New("password is empty")
	}
	o.passwordStdin, o.userGiven = stdin, given("username")
	return nil
}

// maxPassword bounds what is read of stdin, in bytes.
const maxPassword = 1 << 20

func (a *app) readPassword(o *loginOptions) error {
	if !o.passwordStdin {
		if o.password != "" {
			fmt.Fprintln(a.err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
		}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(a.in, maxPassword))
	if err != nil {
		return err
	}
	o.password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if strings.TrimSpace(o.password) == "" {
		return errors.New("password is empty")
	}
	return nil
}

// loginStored tries what is stored. When that is refused, its user is what the prompt offers.
func (a *app) loginStored(ctx context.Context, c *client.Client, server string, o *loginOptions) (done bool, err error) {
	auth, err := credentials.Stored(ctx, server)
	if err != nil || auth == (registry.AuthConfig{ServerAddress: server}) {
		return false, err
	}
	fmt.Fprint(a.err, "Authenticating with existing credentials...")
	if auth.Username != "" {
		fmt.Fprintf(a.err, " [Username: %s]", auth.Username)
	}
	fmt.Fprintln(a.err)
	err = a.loginWith(ctx, c, auth)
	if err == nil {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, err
	}
	fmt.Fprintln(a.err, "Login did not succeed, error:", err)
	o.user = auth.Username
	return false, nil
}

// askLogin asks for what the flags do not say.
func (a *app) askLogin(ctx context.Context, server string, o loginOptions) (auth registry.AuthConfig, err error) {
	auth = registry.AuthConfig{ServerAddress: server, Username: strings.TrimSpace(o.user), Password: o.password}
	if auth.Username != "" && auth.Password != "" {
		return auth, nil
	}
	if !terminal.Is(a.in) {
		return auth, errors.New("cannot perform an interactive login from a non TTY device")
	}
	if !o.userGiven {
		prompt := "Username: "
		if auth.Username != "" {
			prompt = fmt.Sprintf("Username (%s): ", auth.Username)
		}
		fmt.Fprint(a.out, prompt)
		line, err := bufio.NewReader(a.in).ReadString('\n')
		if err != nil {
			return auth, err
		}
		auth.Username = cmp.Or(strings.TrimSpace(line), auth.Username)
	}
	if auth.Username == "" {
		return auth, errors.New("username is required")
	}
	if auth.Password == "" {
		fmt.Fprint(a.out, "Password: ")
		auth.Password, err = terminal.Secret(ctx, a.in)
		fmt.Fprintln(a.out)
	}
	if err == nil && auth.Password == "" {
		err = errors.New("password is required")
	}
	return auth, err
}

// loginWith has the engine check credentials, and stores them.
func (a *app) loginWith(ctx context.Context, c *client.Client, auth registry.AuthConfig) error {
	answer, err := c.RegistryLogin(ctx, auth)
	if err != nil {
		return err
	}
	if answer.IdentityToken != "" {
		auth.Password, auth.IdentityToken = "", answer.IdentityToken
	}
	plain, err := credentials.Save(ctx, auth)
	if err != nil {
		return err
	}
	if plain != "" {
		fmt.Fprintf(a.err, "WARNING! Your credentials are stored unencrypted in '%s'.\n"+
			"Configure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n", plain)
	}
	fmt.Fprintln(a.out, answer.Status)
	return nil
}

func (a *app) logoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logout [SERVER]", Short: "Log out from a registry", Args: upTo(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  naru logout ghcr.io",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		server := credentials.Server(strings.Join(args, ""))
		fmt.Fprintln(a.out, "Removing login credentials for", server)
		return credentials.Erase(cmd.Context(), server)
	}
	return cmd
}
