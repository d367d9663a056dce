"""Versions of the configuration: who changed what and when, and going back."""

from starlette.responses import Response

from chappe.core.people import Permission
from chappe.gateway.edits import Overlapped
from chappe.gateway.versions import NoVersion, mark_of_changes
from chappe.listeners.panel.editing import confirm_page
from chappe.listeners.panel.frame import PanelRequest, PanelRoute

PAGE_COUNT = 50


async def show(panel: PanelRequest) -> Response:
    """Who changed what in the configuration, newest first."""
    before = panel.number("before")
    versions = await panel.desks.versions.list(before, PAGE_COUNT + 1)
    return panel.render(
        "versions_list.html",
        versions=versions[:PAGE_COUNT],
        older=versions[PAGE_COUNT - 1].revision if len(versions) > PAGE_COUNT else 0,
        is_first=not before,
    )


async def show_one(panel: PanelRequest) -> Response:
    """One version: who, when, why, and what it changed."""
    revision = panel.request.path_params["revision"]
    version = await panel.desks.versions.show(revision)
    if version is None:
        return panel.not_found()
    return panel.render(
        "versions_one.html", version=version, may_change=panel.caller.may(Permission.CHANGE_CONFIGURATION)
    )


async def roll_back(panel: PanelRequest) -> Response:
    """What going back would change first, then, confirmed, the way back."""
    revision = panel.request.path_params["revision"]
    versions, seen = panel.desks.versions, panel.text("seen")
    try:
        if panel.text("step") != "do" or not seen:
            return await propose(panel, revision)
        await versions.roll_back(revision, panel.caller.name, panel.text("remark"), seen=seen)
    except NoVersion:
        return panel.not_found()
    except Overlapped:
        return await propose(panel, revision, 409)
    return panel.redirect("/versions", panel._("Done: this is the newest version now."))


async def propose(panel: PanelRequest, revision: int, status: int = 200) -> Response:
    """What going back would change; with 409 because it is not what was looked at. Raises NoVersion."""
    back = f"/versions/{revision}"
    changes = await panel.desks.versions.propose_roll_back(revision)
    if not changes:
        return panel.redirect(back, panel._("The gateway is as it was then: nothing changes."))
    notes = [
        panel._("Somebody changed the configuration meanwhile: look at it again.") if status == 409 else "",
        panel._(
            "Balances, rented numbers, subaccounts, and passwords that accounts chose themselves stay as they are."
        ),
    ]
    title = panel._("Back to version %(revision)s") % {"revision": revision}
    page = confirm_page(
        panel,
        title,
        changes,
        f"/versions/{revision}/roll-back",
        back,
        note=" ".join(filter(None, notes)),
        extra={"seen": mark_of_changes(changes)},
    )
    page.status_code = status
    return page


ROUTES = (
    PanelRoute("/versions", show, Permission.READ_CONFIGURATION, title="Versions", group="Gateway"),
    PanelRoute("/versions/{revision:int}", show_one, Permission.READ_CONFIGURATION),
    PanelRoute("/versions/{revision:int}/roll-back", roll_back, Permission.CHANGE_CONFIGURATION, "POST"),
)
