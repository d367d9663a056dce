"""Log-in, one-time links, users, and one's own settings."""

from urllib.parse import quote

from starlette.responses import Response

from chappe.core.centre import Refused
from chappe.core.model import Secret
from chappe.core.people import Permission, Role
from chappe.gateway.people import WITH_ACCOUNT, Person
from chappe.listeners.panel.frame import (
    LANGUAGE_COOKIE,
    ROOT,
    THEME_COOKIE,
    THEMES,
    YEAR_S,
    PanelRequest,
    PanelRoute,
    safe_next,
    whole_number,
)

STATUS_OF_REFUSAL = {"throttled": 429, "overloaded": 503}


def network_of(panel: PanelRequest) -> str:
    client = panel.request.client
    return client.host if client is not None else ""


# Coming and going


async def show_log_in(panel: PanelRequest) -> Response:
    if panel.person is not None:
        return panel.redirect(safe_next(panel.query.get("next", "/")))
    return panel.render("login.html", name="", next=panel.query.get("next", ""), error="")


async def log_in(panel: PanelRequest) -> Response:
    name, after = panel.text("name"), panel.text("next")
    outcome = await panel.desks.people.log_in(name, Secret(panel.raw("password")), network_of(panel))
    if isinstance(outcome, Refused):
        status = STATUS_OF_REFUSAL.get(outcome.reason.value, 401)
        return panel.render("login.html", status, name=name, next=after, error=panel.refused(outcome))
    return let_in(panel, *outcome, safe_next(after or "/"))


def let_in(panel: PanelRequest, key: Secret, person: Person, after: str) -> Response:
    """A session of its own at each log-in: one that somebody planted before is worth nothing."""
    panel.person = person
    panel.set_cookie(panel.session_cookie, key.value)
    return panel.redirect(after)


async def enter(panel: PanelRequest) -> Response:
    """A link that an application got for its account (smsend 4.3)."""
    user_key, _, key = panel.query.get("k", "").partition(".")
    outcome = await panel.desks.people.enter(user_key, Secret(key), network_of(panel))
    if outcome is None:
        said = panel._("This link has been used or has run out. Ask for a new one.")
        return panel.redirect("/login", said, is_bad_news=True)
    return let_in(panel, *outcome, "/")


async def log_out(panel: PanelRequest) -> Response:
    assert panel.person is not None
    await panel.desks.people.log_out(panel.person)
    panel.set_cookie(panel.session_cookie, "", max_age_s=0)
    return panel.redirect("/login", panel._("You are logged out."))


async def show_invitation(panel: PanelRequest) -> Response:
    key = Secret(panel.request.path_params["key"])
    invited = await panel.desks.people.invitation(key)
    if invited is None:
        return panel.fault(404, panel._("This link has been used or has run out. Ask for a new one."))
    return panel.render("invitation.html", invitation=invited, key=key.value, name=invited.name, error="")


async def join(panel: PanelRequest) -> Response:
    key = Secret(panel.request.path_params["key"])
    people = panel.desks.people
    invited = await people.invitation(key)
    if invited is None:
        return panel.fault(404, panel._("This link has been used or has run out. Ask for a new one."))
    name, password = panel.text("name"), panel.raw("password")
    if password != panel.raw("again"):
        error = panel._("The two passwords differ.")
    else:
        outcome = await people.join(key, name, Secret(password), network_of(panel), panel.language)
        if not isinstance(outcome, Refused):
            return let_in(panel, *outcome, "/")
        error = panel.refused(outcome)
    return panel.render(
        "invitation.html", 422, invitation=invited, key=key.value, name=invited.name or name, error=error
    )


# How the panel looks


async def choose_theme(panel: PanelRequest) -> Response:
    theme = panel.text("theme")
    if theme in THEMES:
        panel.set_cookie(THEME_COOKIE, theme, max_age_s=YEAR_S)
    return panel.redirect(safe_next(panel.text("next", "/")))


async def choose_language(panel: PanelRequest) -> Response:
    language = panel.text("language")
    if language in panel.languages:
        panel.set_cookie(LANGUAGE_COOKIE, language, max_age_s=YEAR_S)
        if panel.person is not None:
            await panel.desks.people.set_language(panel.person, language)
    return panel.redirect(safe_next(panel.text("next", "/")))


# One's own settings


async def show_settings(panel: PanelRequest) -> Response:
    return await settings_page(panel)


async def settings_page(panel: PanelRequest, status: int = 200, error: str = "") -> Response:
    assert panel.person is not None
    sessions = await panel.desks.people.sessions(panel.person)
    return panel.render("settings.html", status, sessions=sessions, own=panel.person.session, error=error)


async def change_password(panel: PanelRequest) -> Response:
    assert panel.person is not None
    old, new = panel.raw("old"), panel.raw("password")
    if not panel.caller.user_id:
        return panel.fault(403)
    if new != panel.raw("again"):
        return await settings_page(panel, 422, panel._("The two passwords differ."))
    refused = await panel.desks.people.change_password(panel.person, Secret(old), Secret(new))
    if refused is not None:
        return await settings_page(panel, 422, panel.refused(refused))
    return panel.redirect("/settings", panel._("The password is changed. You are logged out everywhere else."))


async def end_session(panel: PanelRequest) -> Response:
    assert panel.person is not None
    digest = panel.text("digest")
    if digest:
        await panel.desks.people.end_session(panel.person, digest)
    else:
        await panel.desks.people.end_others(panel.person)
    return panel.redirect("/settings", panel._("Logged out there."))


# Users


async def show_users(panel: PanelRequest) -> Response:
    return await users_page(panel)


async def users_page(panel: PanelRequest, status: int = 200, error: str = "", link: str = "") -> Response:
    directory = panel.desks.directory()
    accounts = sorted(directory.accounts_by_name.values(), key=lambda one: one.name)
    return panel.render(
        "users.html",
        status,
        users=await panel.desks.people.users(),
        invitations=await panel.desks.people.invitations(),
        accounts=accounts,
        account_names={one.id: one.name for one in accounts},
        roles=list(Role),
        error=error,
        link=link,
        form=panel.form,
    )


def role_of(panel: PanelRequest) -> tuple[Role, int] | None:
    role, account_id = panel.text("role"), whole_number(panel.text("account_id", "0"))
    if role not in set(Role) or account_id is None:
        return None
    chosen = Role(role)
    return chosen, account_id if chosen in WITH_ACCOUNT else 0


async def invite(panel: PanelRequest) -> Response:
    chosen = role_of(panel)
    if chosen is None:
        return panel.fault(422)
    outcome = await panel.desks.people.invite(panel.caller.name, *chosen, panel.text("name"))
    if isinstance(outcome, Refused):
        return await users_page(panel, 422, panel.refused(outcome))
    return await users_page(panel, link=panel.origin + invitation_path(outcome))


def invitation_path(key: Secret) -> str:
    return f"{ROOT}/join/{quote(key.value, safe='')}"


async def withdraw(panel: PanelRequest) -> Response:
    await panel.desks.people.withdraw(panel.text("digest"))
    return panel.redirect("/users", panel._("The link is worthless now."))


async def change_user(panel: PanelRequest) -> Response:
    user_id = panel.request.path_params["user_id"]
    chosen = role_of(panel)
    if chosen is None:
        return panel.fault(422)
    if await panel.desks.people.user(user_id) is None:
        return panel.not_found()
    refused = await panel.desks.people.change_user(
        user_id, role=chosen[0], account_id=chosen[1], is_active=panel.is_ticked("is_active")
    )
    if refused is not None:
        return await users_page(panel, 422, panel.refused(refused))
    return panel.redirect("/users", panel._("Saved."))


DASHBOARD = PanelRoute("/s/user/external-auth", enter, None, is_open=True)  # not below /panel: smsend 4.3
ROUTES = (
    PanelRoute("/login", show_log_in, None, is_open=True),
    PanelRoute("/login", log_in, None, "POST", is_open=True),
    PanelRoute("/logout", log_out, None, "POST"),
    PanelRoute("/join/{key}", show_invitation, None, is_open=True),
    PanelRoute("/join/{key}", join, None, "POST", is_open=True),
    PanelRoute("/theme", choose_theme, None, "POST", is_open=True),
    PanelRoute("/language", choose_language, None, "POST", is_open=True),
    PanelRoute("/settings", show_settings, None, title="My settings", group="Administration"),
    PanelRoute("/settings/password", change_password, None, "POST"),
    PanelRoute("/settings/sessions", end_session, None, "POST"),
    PanelRoute("/users", show_users, Permission.READ_USERS, title="Users", group="Administration"),
    PanelRoute("/users/invite", invite, Permission.CHANGE_USERS, "POST"),
    PanelRoute("/users/withdraw", withdraw, Permission.CHANGE_USERS, "POST"),
    PanelRoute("/users/{user_id:int}", change_user, Permission.CHANGE_USERS, "POST"),
)
