//! What every kind of link must do, stated once and run against each kind.
//!
//! A kind joins by implementing [`kit::Kind`] and adding one `suite!` line. The raw side of a kind
//! speaks the carrier's handshake and then says whatever a test wants, so that hostile frames reach
//! the real code. Nothing here sleeps; each test has one generous limit against hanging.

mod auto;
mod behaviour;
mod cancellation;
mod datagrams;
mod fhp;
mod hostile;
mod identity;
mod kit;
mod limits;
mod quic;
mod trace;

macro_rules! suite {
    ($kind:ty: $($module:ident::{$($name:ident),* $(,)?})*) => {
        $($(
            #[tokio::test]
            async fn $name() {
                crate::kit::within($module::$name::<$kind>()).await;
            }
        )*)*
    };
}

macro_rules! whole_suite {
    ($kind:ty) => {
        suite! { $kind:
            behaviour::{
                many_requests_in_flight_each_get_their_own_answer,
                head_and_body_arrive_as_sent_at_every_size,
                pieces_name_their_offsets,
                both_sides_ask_and_serve_on_one_link,
                each_link_has_its_own_handler,
                urgent_responses_overtake_in_class_order,
                unread_bulk_response_does_not_hold_up_an_urgent_request,
                bulk_requests_leave_slots_for_urgent_ones,
                clean_close_is_closed_on_both_sides,
                requests_in_flight_end_when_the_link_closes,
                restarted_peer_gives_closed,
                silence_gives_closed,
            }
            cancellation::{
                dropped_call_frees_its_handler,
                dropped_upload_frees_its_handler,
                dropped_server_side_gives_cancelled,
                half_written_response_is_never_taken_for_whole,
                abandoned_upload_is_never_taken_for_whole,
                panicking_handler_harms_only_its_request,
                head_can_be_awaited_again_after_a_timeout,
                refusal_arrives_before_the_body_was_heard_out,
            }
            limits::{
                sixteen_mebibytes_go_up_with_bounded_memory,
                sixteen_mebibytes_come_down_with_bounded_memory,
                announced_response_over_credit_is_refused,
                open_ended_response_over_credit_is_cut,
                request_over_the_other_sides_limit_is_refused_before_it_is_sent,
                produced_body_over_its_announcement_is_refused,
                collect_stops_at_the_callers_limit,
                endpoint_that_serves_nothing_refuses_requests,
            }
            identity::{
                any_key_is_admitted_and_shown_to_the_handler,
                pinned_keys_are_admitted_and_others_refused_at_both_sides,
                wrong_server_key_is_refused_at_both_sides,
                peer_without_the_hybrid_key_exchange_is_refused_at_both_sides,
                client_that_shows_no_key_is_refused,
                silent_address_times_out,
                taken_port_is_named,
            }
            hostile::{
                malformed_requests_close_the_link_as_protocol_errors,
                malformed_responses_close_the_link_as_protocol_errors,
                malformed_hellos_are_refused,
                missing_hello_times_out,
                oversized_request_announcement_is_refused,
                request_longer_than_announced_is_a_protocol_error,
                request_shorter_than_announced_is_a_protocol_error,
                response_over_credit_is_a_protocol_error,
                hostile_link_does_not_disturb_another,
                a_stranger_may_leave_little_unread_until_it_is_admitted,
                who_overstays_is_told_that_the_link_is_closed,
            }
        }
    };
}

mod over_quic {
    use super::{behaviour, cancellation, hostile, identity, limits, quic};

    whole_suite! { quic::Quic }
}

/// FHP between two endpoints, on one socket with QUIC; raw peers speak QUIC.
mod over_fhp_beside_quic {
    use super::{auto, behaviour, cancellation, hostile, identity, limits};

    whole_suite! { auto::Auto }
}

/// FHP alone; raw peers speak it too. A hello is part of its handshake, so none can be missing.
mod over_fhp {
    use super::{fhp, hostile, identity};

    suite! { fhp::Fhp:
        identity::{
            any_key_is_admitted_and_shown_to_the_handler,
            pinned_keys_are_admitted_and_others_refused_at_both_sides,
            wrong_server_key_is_refused_at_both_sides,
            peer_without_the_hybrid_key_exchange_is_refused_at_both_sides,
            client_that_shows_no_key_is_refused,
            silent_address_times_out,
        }
        hostile::{
            malformed_requests_close_the_link_as_protocol_errors,
            malformed_responses_close_the_link_as_protocol_errors,
            malformed_hellos_are_refused,
            oversized_request_announcement_is_refused,
            request_longer_than_announced_is_a_protocol_error,
            request_shorter_than_announced_is_a_protocol_error,
            response_over_credit_is_a_protocol_error,
            hostile_link_does_not_disturb_another,
            a_stranger_may_leave_little_unread_until_it_is_admitted,
        }
    }
}

/// What only FHP knows: its datagrams, and its traces.
mod fhp_alone {
    use super::{datagrams, trace};

    macro_rules! tests {
        ($($module:ident::{$($name:ident),* $(,)?})*) => {$($(
            #[tokio::test]
            async fn $name() {
                crate::kit::within($module::$name()).await;
            }
        )*)*};
    }

    tests! {
        datagrams::{
            repeated_and_flipped_datagrams_of_a_link_change_nothing,
            datagrams_of_a_link_from_elsewhere_cost_a_moment_and_no_link,
            a_flood_of_hellos_is_held_to_its_limit_and_honest_machines_get_in,
            frames_that_break_a_rule_end_their_link_and_no_other,
            who_falls_silent_in_the_middle_is_forgotten_with_its_requests,
            who_opens_all_lanes_and_says_nothing_waits_and_others_do_not,
        }
        trace::{
            a_traced_link_leaves_a_line_of_json_for_everything_it_did_and_says_nothing_private,
            who_is_not_let_in_leaves_no_trace,
        }
    }
}
