//! The table of routes. What is not in it is not served, and what is in it has its scope.

use actix_web::{HttpRequest, HttpResponse};

use super::route::Verb::{Delete, Get, Patch, Post, Put};
use super::route::{Answers, Form, Route, form};
use super::{app, groups, messages, openapi, users};
use crate::ids::Scope;
use crate::protocol::rest::{
    GroupMembersChange, GroupPatch, Kick, LogQuery, LoginRules, MessageSent, NewGroup,
    NewLoginRules, NewMessage, NewUser, PageQuery, PresenceOf, Receipts, TokensRevoked, User,
};
use crate::protocol::{
    DevicesEnded, DevicesPage, GroupChanged, GroupCreated, GroupInfo, HistoryPage, MembersPage,
    Presences,
};

const NO_SUCH_USER: (u16, &str) = (404, "There is no such user.");
const NO_SUCH_GROUP: (u16, &str) = (404, "There is no such group, or no such user.");
const SYSTEM_USER: (u16, &str) = (409, "It is the app's own user, which has no sessions.");
const DISSOLVED: (u16, &str) = (409, "The group was dissolved.");

/// Every operation there is.
pub const ROUTES: &[Route] = &[
    Route::new(Post, "/users", Scope::UsersWrite, |call| Box::pin(users::create(call)))
        .named("createUser", "Makes a user. One who is there already stays as it is.")
        .takes(form::<NewUser>())
        .answers(&[
            answer(201, "It was made.", form::<User>()),
            answer(200, "It was there.", form::<User>()),
        ]),
    Route::new(Get, "/users/{user}", Scope::UsersRead, |call| Box::pin(users::get(call)))
        .named("getUser", "Shows a user.")
        .answers(&[answer(200, "The user.", form::<User>())])
        .refuses(&[NO_SUCH_USER]),
    Route::new(Post, "/users/{user}/deactivate", Scope::UsersWrite, |call| {
        Box::pin(users::deactivate(call))
    })
    .named(
        "deactivateUser",
        "Keeps a user out. Ends all sessions of the user, who cannot log in until reactivated.",
    )
    .answers(&[answer(200, "The user as it is now.", form::<User>())])
    .refuses(&[NO_SUCH_USER, SYSTEM_USER]),
    Route::new(Post, "/users/{user}/reactivate", Scope::UsersWrite, |call| {
        Box::pin(users::reactivate(call))
    })
    .named("reactivateUser", "Lets a user log in again.")
    .answers(&[answer(200, "The user as it is now.", form::<User>())])
    .refuses(&[NO_SUCH_USER, SYSTEM_USER]),
    Route::new(Post, "/users/{user}/revoke", Scope::SessionsWrite, |call| {
        Box::pin(users::revoke(call))
    })
    .named(
        "revokeTokens",
        "Revokes a user's tokens. All that were signed until now are refused from now on, and \
         the sessions that were opened with them end. Takes up to a second: what is signed after \
         the answer holds.",
    )
    .answers(&[answer(200, "They are revoked.", form::<TokensRevoked>())])
    .refuses(&[NO_SUCH_USER, SYSTEM_USER]),
    Route::new(Get, "/users/{user}/devices", Scope::UsersRead, |call| {
        Box::pin(users::devices(call))
    })
    .named(
        "listDevices",
        "Lists a user's devices. Those from which the user has logged in, last login first.",
    )
    .query(form::<PageQuery>())
    .answers(&[answer(200, "A page of them.", form::<DevicesPage>())])
    .refuses(&[NO_SUCH_USER]),
    Route::new(Post, "/users/{user}/kick", Scope::SessionsWrite, |call| {
        Box::pin(users::kick(call))
    })
    .named(
        "kickDevices",
        "Ends sessions of a user. That of one device, or all of them. None of them comes back by \
         itself; the user may log in again.",
    )
    .takes(form::<Kick>())
    .answers(&[answer(200, "Whose sessions were ended.", form::<DevicesEnded>())])
    .refuses(&[NO_SUCH_USER]),
    Route::new(Post, "/presence", Scope::PresenceRead, |call| Box::pin(users::presence(call)))
        .named(
            "getPresence",
            "Says who is there. Of up to 500 users, as it is and not as they let others see.",
        )
        .takes(form::<PresenceOf>())
        .answers(&[answer(
            200,
            "One row for each, in the order of the request.",
            form::<Presences>(),
        )]),
    Route::new(Post, "/groups", Scope::GroupsWrite, |call| Box::pin(groups::create(call)))
        .named("createGroup", "Makes a group with its owner and first members.")
        .takes(form::<NewGroup>())
        .answers(&[answer(201, "It was made.", form::<GroupCreated>())])
        .refuses(&[
            (404, "There is no such user."),
            (409, "The id is taken, the group is too large, or a user is in too many groups."),
        ]),
    Route::new(Get, "/groups/{group}", Scope::GroupsRead, |call| Box::pin(groups::get(call)))
        .named("getGroup", "Shows a group.")
        .answers(&[answer(200, "The group.", form::<GroupInfo>())])
        .refuses(&[NO_SUCH_GROUP]),
    Route::new(Patch, "/groups/{group}", Scope::GroupsWrite, |call| Box::pin(groups::rename(call)))
        .named("renameGroup", "Changes what people call a group.")
        .takes(form::<GroupPatch>())
        .answers(&[answer(200, "It is called so.", form::<GroupChanged>())])
        .refuses(&[NO_SUCH_GROUP, DISSOLVED]),
    Route::new(Delete, "/groups/{group}", Scope::GroupsWrite, |call| {
        Box::pin(groups::dissolve(call))
    })
    .named(
        "dissolveGroup",
        "Ends a group for good. Its log stays, and can be read. One that has ended stays so.",
    )
    .answers(&[answer(200, "It is dissolved.", form::<GroupChanged>())])
    .refuses(&[NO_SUCH_GROUP]),
    Route::new(Get, "/groups/{group}/members", Scope::GroupsRead, |call| {
        Box::pin(groups::members(call))
    })
    .named("listMembers", "Lists the members of a group.")
    .query(form::<PageQuery>())
    .answers(&[answer(200, "A page of them.", form::<MembersPage>())])
    .refuses(&[NO_SUCH_GROUP]),
    Route::new(Post, "/groups/{group}/members", Scope::GroupsWrite, |call| {
        Box::pin(groups::add(call))
    })
    .named("addMembers", "Makes users members of a group. Those who are stay so.")
    .takes(form::<GroupMembersChange>())
    .answers(&[answer(
        200,
        "They are members; `users` names those who were not.",
        form::<GroupChanged>(),
    )])
    .refuses(&[
        NO_SUCH_GROUP,
        (409, "The group was dissolved or would be too large, or a user is in too many groups."),
    ]),
    Route::new(Post, "/groups/{group}/members/remove", Scope::GroupsWrite, |call| {
        Box::pin(groups::remove(call))
    })
    .named("removeMembers", "Ends memberships in a group. Those who are no members stay so.")
    .takes(form::<GroupMembersChange>())
    .answers(&[answer(
        200,
        "They are no members; `users` names those who were.",
        form::<GroupChanged>(),
    )])
    .refuses(&[
        NO_SUCH_GROUP,
        DISSOLVED,
        (403, "The key lacks the scope, or the owner is among them: a group is not without one."),
    ]),
    Route::new(Post, "/messages", Scope::MessagesSend, |call| Box::pin(messages::send(call)))
        .named(
            "sendMessage",
            "Sends a message. To a user or into a group, as the app itself or for one of its \
             users. Answered when it is stored.",
        )
        .takes(form::<NewMessage>())
        .repeats_by_message()
        .answers(&[
            answer(201, "It is stored.", form::<MessageSent>()),
            answer(
                200,
                "It was stored before, and this is the first answer again.",
                form::<MessageSent>(),
            ),
        ])
        .refuses(&[
            (403, "The key lacks the scope, or the sender may not write there."),
            (404, "There is no such user or group."),
            (
                409,
                "The sender is deactivated, the group was dissolved, or the client_msg_id is too \
                 old or minted too far ahead.",
            ),
        ]),
    Route::new(Get, "/groups/{group}/messages", Scope::MessagesRead, |call| {
        Box::pin(messages::of_group(call))
    })
    .named("groupHistory", "Reads the whole log of a group.")
    .query(form::<LogQuery>())
    .answers(&[answer(200, "A page of it, in rising order.", form::<HistoryPage>())])
    .refuses(&[NO_SUCH_GROUP]),
    Route::new(
        Get,
        "/users/{user}/conversations/{conversation}/messages",
        Scope::MessagesRead,
        |call| Box::pin(messages::of_user(call)),
    )
    .named(
        "userHistory",
        "Reads a conversation as one of its users sees it: `user:bob`, `group:eng`.",
    )
    .query(form::<LogQuery>())
    .answers(&[answer(200, "A page of it, in rising order.", form::<HistoryPage>())])
    .refuses(&[(404, "There is no such user, or no conversation that they may see.")]),
    Route::new(Get, "/app/login-policy", Scope::AppsRead, |call| Box::pin(app::login_policy(call)))
        .named(
            "getLoginPolicy",
            "Shows the rules for logins: which devices of one user may be online together.",
        )
        .answers(&[answer(200, "The rules for logins.", form::<LoginRules>())]),
    Route::new(Put, "/app/login-policy", Scope::AppsWrite, |call| {
        Box::pin(app::set_login_policy(call))
    })
    .named(
        "setLoginPolicy",
        "Changes the rules for logins: which devices of one user may be online together. From \
         the next login on, or at once.",
    )
    .takes(form::<NewLoginRules>())
    .answers(&[answer(200, "The rules as they are now.", form::<LoginRules>())]),
    Route::new(Get, "/app/receipts", Scope::AppsRead, |call| Box::pin(app::receipts(call)))
        .named("getReceipts", "Shows whether people hear how far the other side has read.")
        .answers(&[answer(200, "What is set.", form::<Receipts>())]),
    Route::new(Put, "/app/receipts", Scope::AppsWrite, |call| Box::pin(app::set_receipts(call)))
        .named("setReceipts", "Changes whether people hear how far the other side has read.")
        .takes(form::<Receipts>())
        .answers(&[answer(200, "What is set now.", form::<Receipts>())]),
    Route::public("/openapi.json", openapi::document).named("getDocument", "This document."),
    Route::public("/docs", page).named("getDocs", "This document, for people."),
];

const fn answer(status: u16, means: &'static str, form: Form) -> Answers {
    Answers { status, means, form }
}

fn page(request: &HttpRequest) -> HttpResponse {
    crate::http::web::page(request, "api.html")
}
